import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { onTestFinished } from "vitest";

import { BrokerClient } from "../../src/shim/client.ts";
import type { CallLimits } from "../../src/shim/client.ts";
import { systemClock } from "../../src/shim/clock.ts";
import type { Clock } from "../../src/shim/clock.ts";
import { parseShimConfig } from "../../src/shim/config.ts";
import type { ShimConfig } from "../../src/shim/config.ts";
import type { Identity } from "../../src/shim/identity/identity.ts";
import { createLog } from "../../src/shim/log.ts";
import { ShimMetrics } from "../../src/shim/metrics.ts";
import { Transport } from "../../src/shim/transport.ts";
import { FakeBroker } from "./fake-broker.ts";

/** A short path: sockets need one. Removed when the test is over. */
export function makeFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "kek-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export async function startBrokers(count: number): Promise<FakeBroker[]> {
  const brokers = await Promise.all(Array.from({ length: count }, () => FakeBroker.start()));
  onTestFinished(async () => {
    await Promise.all(brokers.map((broker) => broker.stop()));
  });
  const [first] = brokers;
  for (const broker of brokers) if (first !== undefined && broker !== first) broker.sharesKeyWith(first);
  return brokers;
}

export async function startBroker(): Promise<FakeBroker> {
  const [broker] = await startBrokers(1);
  if (broker === undefined) throw new Error("no broker");
  return broker;
}

export interface ClientKit {
  readonly client: BrokerClient;
  readonly lines: string[];
  readonly metrics: ShimMetrics;
  /** How often brokers' denials reached the identity. */
  readonly refusals: { count: number };
}

export interface ClientKitOptions {
  readonly identity?: Identity;
  readonly clock?: Clock;
  readonly ca?: string;
}

export function makeClient(urls: readonly string[], options: ClientKitOptions = {}): ClientKit {
  const lines: string[] = [];
  const refusals = { count: 0 };
  const transport = new Transport(options.ca);
  onTestFinished(() => transport.close());
  const identity: Identity = {
    token: async () => "a.b.c",
    refused: () => {
      refusals.count += 1;
    },
  };
  const metrics = new ShimMetrics(() => 0);
  const clock = options.clock ?? systemClock;
  const client = new BrokerClient({
    kek: "prod-secrets",
    brokers: urls,
    identity: options.identity ?? identity,
    transport,
    clock,
    random: () => 0.5,
    log: createLog(
      (line) => lines.push(line),
      () => 0,
    ),
    metrics,
  });
  return { client, lines, metrics, refusals };
}

/** A deadline that far away, and nobody who leaves. */
export function within(ms: number, clock: Clock = systemClock): CallLimits {
  return { deadline: clock.now() + ms, signal: new AbortController().signal };
}

export function makeNodeKeyFile(folder: string, type: "ec" | "ed25519" = "ec", mode = 0o600) {
  const { privateKey, publicKey } =
    type === "ec" ? generateKeyPairSync("ec", { namedCurve: "P-256" }) : generateKeyPairSync("ed25519");
  const file = join(folder, "node-key.json");
  writeFileSync(file, JSON.stringify(privateKey.export({ format: "jwk" })), { mode });
  return { file, publicKey };
}

export function makeConfig(folder: string, brokers: readonly string[], more: object = {}): ShimConfig {
  return parseShimConfig(
    JSON.stringify({
      kek: "prod-secrets",
      cluster: "prod-eu-1",
      node: "cp-1",
      listen: `unix://${join(folder, "kms.sock")}`,
      brokers,
      audience: "https://kek.example.com",
      identity: { nodeKey: join(folder, "node-key.json") },
      ...more,
    }),
  );
}

/** Real time, but waiting takes none of it: for one caller's retries. */
export class SkippingClock implements Clock {
  #skipped = 0;

  now(): number {
    return performance.now() + this.#skipped;
  }

  wall(): number {
    return Date.now();
  }

  async sleep(ms: number): Promise<void> {
    this.#skipped += ms;
    await new Promise(setImmediate);
  }
}

/** Time that moves only when told; sleepers wake in order. */
export class ManualClock implements Clock {
  #now = 0;
  readonly #sleepers: { until: number; wake: () => void }[] = [];
  readonly #watchers: (() => void)[] = [];

  now(): number {
    return this.#now;
  }

  wall(): number {
    return 1_800_000_000_000 + this.#now;
  }

  sleep(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const sleeper = { until: this.#now + ms, wake: resolve };
      const leave = () => {
        const index = this.#sleepers.indexOf(sleeper);
        if (index >= 0) this.#sleepers.splice(index, 1);
        reject(new Error("aborted"));
      };
      if (signal.aborted) return leave();
      signal.addEventListener("abort", leave, { once: true });
      this.#sleepers.push(sleeper);
      for (const watcher of this.#watchers.splice(0)) watcher();
    });
  }

  /** Resolves once somebody sleeps. */
  async asleep(): Promise<void> {
    while (this.#sleepers.length === 0) await new Promise<void>((resolve) => this.#watchers.push(resolve));
  }

  /** Waits until somebody sleeps, then lets exactly as much time pass as it takes to wake the first. */
  async next(): Promise<void> {
    await this.asleep();
    this.#sleepers.sort((a, b) => a.until - b.until);
    const sleeper = this.#sleepers.shift();
    if (sleeper === undefined) return;
    this.#now = Math.max(this.#now, sleeper.until);
    sleeper.wake();
  }

  advance(ms: number): void {
    this.#now += ms;
    for (const sleeper of this.#sleepers.filter(({ until }) => until <= this.#now)) {
      this.#sleepers.splice(this.#sleepers.indexOf(sleeper), 1);
      sleeper.wake();
    }
  }
}

/** A field of a JSON object; fails the test if it is no text. */
export function textField(json: string, name: string): string {
  const value: unknown = JSON.parse(json);
  const field: unknown = typeof value === "object" && value !== null ? Reflect.get(value, name) : undefined;
  if (typeof field !== "string") throw new Error(`no text "${name}" in ${json}`);
  return field;
}
