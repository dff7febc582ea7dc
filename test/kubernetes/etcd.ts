import { request } from "undici";
import { z } from "zod";
import type { Tools } from "./tools.ts";
import type { Daemon } from "./daemon.ts";
import { freePort } from "./ports.ts";
import { run } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

const READY_WITHIN_MS = 30_000;

/** Keys and values in base64; no `kvs` where nothing was found. */
const RangeResponse = z.object({
  kvs: z.array(z.object({ key: z.base64(), value: z.base64() })).default([]),
});

/** An etcd of one member: data in the sandbox, no fsync. */
export class Etcd {
  readonly endpoint: string;
  readonly #sandbox: Sandbox;
  readonly #tools: Tools;
  readonly #name: string;
  #daemon: Daemon | undefined;

  private constructor(sandbox: Sandbox, tools: Tools, name: string, port: number) {
    this.#sandbox = sandbox;
    this.#tools = tools;
    this.#name = name;
    this.endpoint = `http://127.0.0.1:${port}`;
  }

  static async start(sandbox: Sandbox, tools: Tools, name: string): Promise<Etcd> {
    const etcd = new Etcd(sandbox, tools, name, await freePort());
    await etcd.start();
    return etcd;
  }

  /** Starts it, again on the data and the port it had. */
  async start(): Promise<void> {
    // Relative to the sandbox, and etcd wants something that looks like a port.
    const peer = `unix://${this.#name}.peer:0`;
    this.#daemon = await this.#sandbox.run({
      name: this.#name,
      file: this.#tools.etcd,
      args: [
        `--name=${this.#name}`,
        `--data-dir=${this.#name}.data`,
        "--unsafe-no-fsync",
        "--log-level=warn",
        `--listen-client-urls=${this.endpoint}`,
        `--advertise-client-urls=${this.endpoint}`,
        `--listen-peer-urls=${peer}`,
        `--initial-advertise-peer-urls=${peer}`,
        `--initial-cluster=${this.#name}=${peer}`,
      ],
    });
    await this.#daemon.until("etcd is healthy", () => this.#healthy(), {
      withinMs: READY_WITHIN_MS,
    });
  }

  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  /** The raw value of a key, or undefined if there is none. */
  async get(key: string): Promise<Buffer | undefined> {
    const value = (await this.#range(key))[0]?.value;
    return value === undefined ? undefined : Buffer.from(value, "base64");
  }

  /** All keys that begin with `prefix`, ascending, with their raw values. */
  async list(prefix: string): Promise<Map<string, Buffer>> {
    const pairs = await this.#range(prefix, "--prefix");
    return new Map(
      pairs.map(({ key, value }) => [
        Buffer.from(key, "base64").toString("utf8"),
        Buffer.from(value, "base64"),
      ]),
    );
  }

  /** Writes behind the apiserver's back. */
  async put(key: string, value: Uint8Array): Promise<void> {
    await this.#etcdctl(["put", "--", key], value);
  }

  async #healthy(): Promise<true | undefined> {
    const { statusCode, body } = await request(`${this.endpoint}/health`);
    await body.dump();
    return statusCode === 200 ? true : undefined;
  }

  /** As JSON, in base64: the plain output ends values with a line feed that may or may not be theirs. */
  async #range(key: string, ...flags: string[]): Promise<z.infer<typeof RangeResponse>["kvs"]> {
    const stdout = await this.#etcdctl(["get", "--write-out=json", ...flags, "--", key]);
    return RangeResponse.parse(JSON.parse(stdout)).kvs;
  }

  async #etcdctl(args: string[], stdin?: Uint8Array): Promise<string> {
    const command = [`--endpoints=${this.endpoint}`, ...args];
    const { code, stdout, stderr } = await run(this.#tools.etcdctl, command, { stdin });
    if (code !== 0) throw new Error(`etcdctl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }
}
