import { spawn, type ChildProcess } from "node:child_process";
import { closeSync, openSync, readFileSync } from "node:fs";
import { type Bound, until } from "./poll.ts";

const DEFAULT_GRACE_MS = 30_000;

/** What to run, and where its output goes. */
export interface DaemonSpec {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly cwd: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Appended to, so that a restarted daemon keeps its history. */
  readonly logFile: string;
}

/** How a process ended: one of the two is set. */
export interface Exit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A child process that outlives neither its test nor, by a watchdog, a killed test runner. */
export class Daemon {
  readonly name: string;
  readonly logFile: string;
  /** Settles when the process has ended; never rejects. */
  readonly exited: Promise<Exit>;
  readonly #child: ChildProcess;
  #exit: Exit | undefined;

  private constructor(spec: DaemonSpec, child: ChildProcess) {
    this.name = spec.name;
    this.logFile = spec.logFile;
    this.#child = child;
    this.exited = new Promise((resolve) => {
      child.once("exit", (code, signal) => resolve((this.#exit = { code, signal })));
    });
  }

  /** Resolves once the process runs; rejects if it cannot be started at all. */
  static async start(spec: DaemonSpec): Promise<Daemon> {
    const log = openSync(spec.logFile, "a", 0o600);
    try {
      const child = spawn(spec.file, spec.args, {
        cwd: spec.cwd,
        env: { ...process.env, ...spec.env },
        stdio: ["ignore", log, log],
      });
      const daemon = new Daemon(spec, child);
      await new Promise<void>((resolve, reject) => {
        child.once("spawn", resolve);
        child.once("error", reject);
      });
      guard(child, daemon.exited);
      return daemon;
    } finally {
      closeSync(log);
    }
  }

  get running(): boolean {
    return this.#exit === undefined;
  }

  /** SIGTERM, and SIGKILL if that was not enough within the grace. */
  async stop(graceMs = DEFAULT_GRACE_MS): Promise<Exit> {
    const killer = setTimeout(() => this.signal("SIGKILL"), graceMs);
    this.signal("SIGTERM");
    try {
      return await this.exited;
    } finally {
      clearTimeout(killer);
    }
  }

  /** SIGKILL, as a crash would be. */
  kill(): Promise<Exit> {
    this.signal("SIGKILL");
    return this.exited;
  }

  /** Does nothing to a process that has ended. */
  signal(signal: NodeJS.Signals): void {
    if (this.running) this.#child.kill(signal);
  }

  /** As {@link until}, but fails at once, with the end of the log, when the process ends. */
  async until<T>(
    what: string,
    probe: () => Promise<T | undefined> | T | undefined,
    bound: Bound,
  ): Promise<T> {
    try {
      return await until(what, probe, { ...bound, while: () => this.running });
    } catch (cause) {
      const end = this.#exit && `; ${this.name} ended with ${this.#exit.code ?? this.#exit.signal}`;
      throw new Error(`${what} did not come about${end ?? ""}\n${this.logTail()}`, { cause });
    }
  }

  /** The last lines of the log, with a heading. */
  logTail(lines = 25): string {
    const tail = readFileSync(this.logFile, "utf8").trimEnd().split("\n").slice(-lines);
    return [`--- end of ${this.logFile}`, ...tail].join("\n");
  }
}

/** Its pipe closes with this process, however that ends; then it kills what would be left behind. */
function guard(child: ChildProcess, exited: Promise<Exit>): void {
  const watchdog = spawn("sh", ["-c", `read -r _; kill -9 ${child.pid} 2>/dev/null`], {
    stdio: ["pipe", "ignore", "ignore"],
    detached: true,
  });
  watchdog.on("error", () => child.kill("SIGKILL"));
  watchdog.unref();
  void exited.then(() => watchdog.kill("SIGKILL"));
}
