import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach } from "vitest";
import { Daemon, type DaemonSpec } from "./daemon.ts";

/** A temporary folder, and the processes that work in it. */
export class Sandbox {
  readonly #daemons = new Map<string, Daemon>();
  #dir: string | undefined;
  #closed = false;
  /** A failed sandbox keeps its folder, for whoever looks into it. */
  failed = false;

  /** Made on first use. Short, because the paths of unix sockets have to be. */
  get dir(): string {
    return (this.#dir ??= mkdtempSync(join(tmpdir(), "kek-k8s-")));
  }

  path(...names: string[]): string {
    return join(this.dir, ...names);
  }

  /** Starts a process that ends with the sandbox at the latest; its log is `NAME.log` in the folder. */
  async run(spec: Omit<DaemonSpec, "cwd" | "logFile">): Promise<Daemon> {
    // A preparation that timed out goes on behind our back.
    if (this.#closed) throw new Error(`the sandbox of ${spec.name} is closed`);
    if (this.#daemons.get(spec.name)?.running) throw new Error(`${spec.name} runs already`);
    const logFile = this.path(`${spec.name}.log`);
    const daemon = await Daemon.start({ ...spec, cwd: this.dir, logFile });
    this.#daemons.set(spec.name, daemon);
    if (this.#closed) await daemon.kill();
    return daemon;
  }

  /** Ends one of its processes for good. */
  async stop(name: string): Promise<void> {
    await this.#daemons.get(name)?.stop();
  }

  logTails(): string {
    return [...this.#daemons.values()].map((daemon) => daemon.logTail()).join("\n");
  }

  /** Kills what still runs and removes the folder. */
  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([...this.#daemons.values()].map((daemon) => daemon.kill()));
    if (this.#dir !== undefined && !this.failed) rmSync(this.#dir, { recursive: true });
  }
}

/** A sandbox for the tests of the calling file or `describe`: closed after them, and it shows the ends of its logs when one fails. */
export function useSandbox(): Sandbox {
  const sandbox = new Sandbox();
  const explain = (failed: string) => {
    sandbox.failed = true;
    process.stderr.write(`${failed} failed; kept ${sandbox.dir}\n${sandbox.logTails()}\n`);
  };
  afterEach(({ task }) => {
    if (task.result?.state === "fail") explain(task.name);
  });
  // oxlint-disable-next-line no-empty-pattern -- vitest reads the parameter's source and refuses anything else
  afterAll(async ({}, suite) => {
    // Here and not failed yet: it was the preparation.
    if (suite.result?.state === "fail" && !sandbox.failed) explain(suite.name);
    await sandbox.close();
  });
  return sandbox;
}
