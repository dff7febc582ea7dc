import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { request } from "undici";
import { stringify } from "yaml";

import type { NewNodeKey } from "../../src/config/node-key.ts";
import type { ShimConfigInput } from "../../src/shim/config.ts";
import { KmsClient, type KmsStatus } from "../conformance/grpc/kms-client.ts";
import type { Daemon } from "./daemon.ts";
import { samples } from "./metrics.ts";
import { freePort } from "./ports.ts";
import type { Sandbox } from "./sandbox.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/bin/kek-shim.js", import.meta.url));
const READY_WITHIN_MS = 30_000;

/** What a shim stands on. */
export interface ShimOptions {
  readonly sandbox: Sandbox;
  /** Unique in the sandbox. */
  readonly name: string;
  readonly kek: string;
  readonly cluster: string;
  readonly node: string;
  readonly key: NewNodeKey["privateKey"];
  readonly brokers: readonly string[];
  readonly audience: string;
}

/** What to wait for: a shim that no broker accepts is never `healthy`, but `running`. */
export type ShimState = "healthy" | "running";

/** The built `kek-shim` with a node key, on a socket and a port that restarts keep. */
export class Shim {
  readonly name: string;
  readonly #options: ShimOptions;
  readonly #http: string;
  #daemon: Daemon | undefined;

  private constructor(options: ShimOptions, port: number) {
    this.#options = options;
    this.name = options.name;
    this.#http = `127.0.0.1:${port}`;
  }

  static async start(options: ShimOptions, until: ShimState = "healthy"): Promise<Shim> {
    const shim = new Shim(options, await freePort());
    shim.#writeFiles();
    await shim.start(until);
    return shim;
  }

  /** Path of the socket that an EncryptionConfiguration names. */
  get socket(): string {
    return this.#options.sandbox.path(`${this.name}.sock`);
  }

  /** Starts it, again on what it had. */
  async start(until: ShimState = "healthy"): Promise<void> {
    this.#daemon = await this.#options.sandbox.run({
      name: this.name,
      file: process.execPath,
      args: [PROGRAM, "--config", this.#configFile],
    });
    const path = until === "healthy" ? "/readyz" : "/livez";
    await this.#daemon.until(
      `${this.name} is ${until}`,
      async () => ((await this.get(path)).status === 200 ? true : undefined),
      { withinMs: READY_WITHIN_MS },
    );
  }

  /** SIGTERM, and waits until it has drained. */
  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** What it answers kube-apiserver. */
  status(): Promise<KmsStatus> {
    return this.#ask((client) => client.status());
  }

  /** Asks it, as kube-apiserver would, to open what an apiserver has stored as `encryptedDEKSource`. Rejects with gRPC's ServiceError. */
  decrypt(ciphertext: Uint8Array): Promise<Buffer> {
    return this.#ask((client) => client.decrypt({ ciphertext }));
  }

  /** Its own /livez, /readyz or /metrics. */
  async get(path: `/${string}`): Promise<{ status: number; text: string }> {
    const { statusCode, body } = await request(`http://${this.#http}${path}`, { reset: true });
    return { status: statusCode, text: await body.text() };
  }

  /** How often kube-apiserver's Decrypt was answered since its start, by where from. */
  async decrypts(): Promise<{ hit: number; miss: number }> {
    const count = (result: string) => this.metric("kek_shim_cache_total", { result });
    return { hit: await count("hit"), miss: await count("miss") };
  }

  /** The sum of a metric's samples that have these labels. */
  async metric(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    const all = samples((await this.get("/metrics")).text, name);
    return all
      .filter((sample) => Object.entries(labels).every(([label, value]) => sample.labels[label] === value))
      .reduce((sum, { value }) => sum + value, 0);
  }

  async #ask<T>(call: (client: KmsClient) => Promise<T>): Promise<T> {
    const client = new KmsClient(this.socket);
    try {
      return await call(client);
    } finally {
      client.close();
    }
  }

  get #configFile(): string {
    return this.#options.sandbox.path(`${this.name}.yaml`);
  }

  #writeFiles(): void {
    const { sandbox, kek, cluster, node, key, brokers, audience } = this.#options;
    const nodeKey = sandbox.path(`${this.name}.key.json`);
    writeFileSync(nodeKey, JSON.stringify(key), { mode: 0o600 });
    const config: ShimConfigInput = {
      kek,
      cluster,
      node,
      listen: `unix://${this.socket}`,
      brokers: [...brokers],
      audience,
      identity: { nodeKey },
      http: this.#http,
    };
    writeFileSync(this.#configFile, stringify(config));
  }
}
