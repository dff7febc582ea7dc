import { DekCache } from "../../../src/shim/cache.ts";
import { BrokerClient } from "../../../src/shim/client.ts";
import type { Clock } from "../../../src/shim/clock.ts";
import { DirectMode } from "../../../src/shim/direct.ts";
import { Health } from "../../../src/shim/health.ts";
import { KeyIdTracker } from "../../../src/shim/key-id.ts";
import type { Log } from "../../../src/shim/log.ts";
import { ShimMetrics } from "../../../src/shim/metrics.ts";
import { Standing } from "../../../src/shim/standing.ts";
import { StatusPoller } from "../../../src/shim/status-poller.ts";
import { Transport, type Exchange, type RawAnswer } from "../../../src/shim/transport.ts";
import { KEK } from "../fixture.ts";
import { Evidence } from "./evidence.ts";

/** What a shim needs of the world around it. */
export interface Surroundings {
  readonly origins: readonly string[];
  readonly now: () => number;
  readonly random: () => number;
  readonly token: () => Promise<string>;
  readonly exchange: (exchange: Exchange) => Promise<RawAnswer>;
  /** Takes what went wrong where the shim would swallow it. */
  readonly complain: (complaint: unknown) => void;
}

class InProcess extends Transport {
  readonly #exchange: Surroundings["exchange"];

  constructor(exchange: Surroundings["exchange"]) {
    super();
    this.#exchange = exchange;
  }

  override exchange(exchange: Exchange): Promise<RawAnswer> {
    return this.#exchange(exchange);
  }
}

/** Sleeps until told; knows when it would wake by itself. */
class PollClock implements Clock {
  readonly now: () => number;
  #sleeper: { readonly due: number; readonly wake: () => void } | undefined;
  #noticed = (): void => undefined;

  constructor(now: () => number) {
    this.now = now;
  }

  wall(): number {
    return this.now();
  }

  sleep(ms: number): Promise<void> {
    return new Promise((wake) => {
      this.#sleeper = { due: this.now() + ms, wake };
      this.#noticed();
    });
  }

  get due(): number {
    return this.#sleeper?.due ?? Number.POSITIVE_INFINITY;
  }

  async asleep(): Promise<void> {
    if (this.#sleeper !== undefined) return;
    await new Promise<void>((resolve) => {
      this.#noticed = resolve;
    });
  }

  wake(): void {
    const sleeper = this.#sleeper;
    this.#sleeper = undefined;
    sleeper?.wake();
  }
}

/** A shim in mode direct with all but its socket; its cache holds one key, so that nearly every Decrypt asks. */
export class ShimInstance {
  readonly events: string[] = [];
  /** Every id it has shown, in order. */
  readonly shown: string[] = [];
  readonly #evidence: Evidence;
  readonly #origins: readonly string[];
  readonly #clock: PollClock;
  readonly #mode: DirectMode;
  readonly #stopping = new AbortController();

  private constructor({ origins, now, random, token, exchange, complain }: Surroundings) {
    this.#origins = origins;
    this.#evidence = new Evidence(now);
    this.#clock = new PollClock(now);
    const clock: Clock = { now, wall: now, sleep: async () => {} };
    const log: Log = (_level, event, fields) => {
      this.events.push(event);
      if (event === "key id changed") {
        const complaint = this.#evidence.against(fields?.keyId);
        if (complaint !== undefined) complain(complaint);
      }
      if (event === "key id first seen" || event === "key id changed") this.shown.push(fields?.keyId ?? "");
    };
    const metrics = new ShimMetrics(() => 0);
    const client = new BrokerClient({
      kek: KEK,
      brokers: origins,
      identity: { token, refused: () => undefined },
      transport: new InProcess(async (asked) => {
        const answer = await exchange(asked);
        this.#evidence.heard(asked.path, answer);
        return answer;
      }),
      clock,
      random,
      log,
      metrics,
    });
    const standing = new Standing({
      tracker: new KeyIdTracker(),
      health: new Health(),
      clock,
      log,
      metrics,
      onRevoked: () => undefined,
      onHealthy: () => undefined,
    });
    const stopping = this.#stopping.signal;
    const cache = new DekCache(1);
    this.#mode = new DirectMode({ client, cache, standing, clock, statusVersion: "v2", metrics, stopping });
    void new StatusPoller({ client, standing, clock: this.#clock, random }).run(stopping);
  }

  /** Resolves after the first poll. */
  static async start(surroundings: Surroundings): Promise<ShimInstance> {
    const shim = new ShimInstance(surroundings);
    await shim.#clock.asleep();
    return shim;
  }

  /** When it polls next. */
  get due(): number {
    return this.#clock.due;
  }

  get origins(): readonly string[] {
    return this.#origins;
  }

  async poll(): Promise<void> {
    this.#clock.wake();
    await this.#clock.asleep();
  }

  status() {
    return this.#mode.status();
  }

  encrypt(plaintext: Uint8Array) {
    return this.#mode.encrypt({ plaintext, uid: "soak" }, this.#caller());
  }

  async decrypt(ciphertext: Uint8Array): Promise<Uint8Array> {
    return (await this.#mode.decrypt({ ciphertext, uid: "soak" }, this.#caller())).plaintext;
  }

  stop(): void {
    this.#stopping.abort();
  }

  #caller() {
    return { remainingMs: 3_000, signal: this.#stopping.signal };
  }
}
