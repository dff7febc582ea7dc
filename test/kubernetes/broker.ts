import { renameSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { request } from "undici";
import * as z from "zod";

import type { BrokerConfigInput } from "../../src/config/schema.ts";
import type { Daemon } from "./daemon.ts";
import { readJsonLines } from "./json-lines.ts";
import { freePort } from "./ports.ts";
import { type Outcome as CommandOutcome, run } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

const PROGRAM = fileURLToPath(new URL("../../dist/bin/kek-broker.js", import.meta.url));
const KEKCTL = fileURLToPath(new URL("../../dist/bin/kekctl.js", import.meta.url));
const READY_WITHIN_MS = 30_000;
const RELOAD_WITHIN_MS = 10_000;

/** A configuration but for what the harness decides: addresses and files. */
export type BrokerSettings = Omit<BrokerConfigInput, "listen" | "private" | "audit" | "tls">;

const LogLine = z.looseObject({
  event: z.string(),
  code: z.string().optional(),
  route: z.string().optional(),
  principal: z.string().optional(),
  config: z.string().optional(),
});
/** A line of the broker's log. */
export type LogLine = z.infer<typeof LogLine>;

const Intent = z.object({
  kind: z.literal("intent"),
  id: z.string(),
  operation: z.enum(["wrap", "unwrap"]),
  cluster: z.string(),
  /** Hex SHA-256 of the envelope to be opened. */
  envelope: z.string().optional(),
  uid: z.string().optional(),
  principal: z.object({ subject: z.string() }),
});
const Outcome = z.object({
  kind: z.literal("outcome"),
  id: z.string(),
  result: z.string(),
  keyId: z.string().nullish(),
  members: z.array(z.object({ name: z.string(), result: z.string(), keyVersion: z.string().optional() })),
});
const Entry = z.discriminatedUnion("kind", [Intent, Outcome]);

/** A use of the KEK as the broker recorded it: before, and after. */
export interface Use {
  readonly intent: z.infer<typeof Intent>;
  readonly outcome: z.infer<typeof Outcome> | undefined;
}

/** The built `kek-broker serve` on ports of its own, which restarts keep. */
export class Broker {
  readonly name: string;
  readonly url: string;
  readonly #sandbox: Sandbox;
  readonly #privateUrl: string;
  readonly #env: Readonly<Record<string, string>>;
  #daemon: Daemon | undefined;

  private constructor(
    sandbox: Sandbox,
    name: string,
    env: Readonly<Record<string, string>>,
    port: number,
    privatePort: number,
  ) {
    this.#sandbox = sandbox;
    this.name = name;
    this.#env = env;
    this.url = `http://127.0.0.1:${port}`;
    this.#privateUrl = `http://127.0.0.1:${privatePort}`;
  }

  /** @param name unique in the sandbox */
  static async start(
    sandbox: Sandbox,
    name: string,
    settings: BrokerSettings,
    env: Readonly<Record<string, string>>,
  ): Promise<Broker> {
    const broker = new Broker(sandbox, name, env, await freePort(), await freePort());
    broker.#write(settings);
    await broker.start();
    return broker;
  }

  /** Starts it, again on the ports, the configuration and the record it had. */
  async start(): Promise<void> {
    this.#daemon = await this.#sandbox.run({
      name: this.name,
      file: process.execPath,
      args: [PROGRAM, "serve", "--config", this.#configFile],
      env: this.#env,
    });
    await this.#daemon.until(`${this.name} is ready`, () => this.#ready(), { withinMs: READY_WITHIN_MS });
  }

  /** SIGTERM, and waits until it has drained. */
  async stop(): Promise<void> {
    await this.#daemon?.stop();
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** What `kekctl config check` says to this configuration in the place of the present one, which stays. */
  async check(settings: BrokerSettings): Promise<CommandOutcome> {
    const next = `${this.#configFile}.next`;
    writeFileSync(next, this.#serialise(settings), { mode: 0o600 });
    return run(process.execPath, [KEKCTL, "config", "check", this.#configFile, next]);
  }

  /** Replaces the configuration of the running broker and waits until it has taken it. */
  async reconfigure(settings: BrokerSettings): Promise<void> {
    const before = this.#loadedConfig();
    this.#write(settings);
    this.#daemon?.signal("SIGHUP");
    await this.#daemon?.until(
      `${this.name} has loaded its new configuration`,
      () => (this.#loadedConfig() === before ? undefined : true),
      { withinMs: RELOAD_WITHIN_MS },
    );
  }

  log(): LogLine[] {
    return readJsonLines(this.#sandbox.path(`${this.name}.log`), LogLine);
  }

  /** What is in its record, oldest first. */
  uses(): Use[] {
    const entries = readJsonLines(this.#custodyFile, Entry);
    const outcomes = new Map(
      entries.flatMap((entry) => (entry.kind === "outcome" ? [[entry.id, entry] as const] : [])),
    );
    return entries.flatMap((entry) =>
      entry.kind === "intent" ? [{ intent: entry, outcome: outcomes.get(entry.id) }] : [],
    );
  }

  get #configFile(): string {
    return this.#sandbox.path(`${this.name}.json`);
  }

  get #custodyFile(): string {
    return this.#sandbox.path(`${this.name}.custody.jsonl`);
  }

  #loadedConfig(): string | undefined {
    return this.log().findLast(({ event }) => event === "config-loaded" || event === "listening")?.config;
  }

  /** By rename, so that the broker never reads half a file. */
  #write(settings: BrokerSettings): void {
    const next = `${this.#configFile}.next`;
    writeFileSync(next, this.#serialise(settings), { mode: 0o600 });
    renameSync(next, this.#configFile);
  }

  /** JSON is YAML. */
  #serialise(settings: BrokerSettings): string {
    const config: BrokerConfigInput = {
      ...settings,
      listen: new URL(this.url).host,
      private: new URL(this.#privateUrl).host,
      audit: { file: this.#custodyFile },
    };
    return JSON.stringify(config);
  }

  async #ready(): Promise<true | undefined> {
    const { statusCode, body } = await request(`${this.#privateUrl}/readyz`, { reset: true });
    await body.dump();
    return statusCode === 200 ? true : undefined;
  }
}
