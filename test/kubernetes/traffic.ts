import { setTimeout } from "node:timers/promises";

import type { Broker } from "./broker.ts";
import type { BrokerCaller } from "./broker-caller.ts";
import type { Cluster } from "./cluster.ts";
import { create, read } from "./resources.ts";
import type { Apiserver } from "./apiserver.ts";
import { storedSecrets } from "./stored-envelope.ts";
import type { StoredValue } from "./stored-value.ts";

/** Between the requests of each. Less of what is kept in etcd, and has to be written again at the end. */
const PAUSE_MS = { writes: 500, reads: 200, unwraps: 200 };
/** Turns after which a caller looks again at what lies in etcd. */
const LOOK_EVERY = 25;

interface Count {
  done: number;
  /** Of them, asked more than once. */
  again: number;
  slowestMs: number;
  readonly failures: string[];
}

/** What traffic came to. */
export type Tally = Readonly<Record<"writes" | "reads" | "unwraps", Readonly<Count>>>;

export interface TrafficOptions {
  readonly cluster: Cluster;
  /** Each gets a writer and a reader. */
  readonly apiservers: readonly Apiserver[];
  /** Each is asked to open stored envelopes, past every cache. */
  readonly brokers: readonly Broker[];
  readonly caller: BrokerCaller;
}

/**
 * Writes new Secrets and reads all there are, one after the other and again and again, at each apiserver until stopped;
 * and has each broker open what lies in etcd, since apiservers and shims have caches. Failures are counted; only a
 * broker that asks for it is asked again, as shims do.
 */
export class Traffic {
  readonly #options: TrafficOptions;
  readonly #texts = new Map<string, string>();
  readonly #tally = { writes: nothing(), reads: nothing(), unwraps: nothing() };
  readonly #workers: Promise<void>[];
  #stopped = false;

  private constructor(options: TrafficOptions) {
    this.#options = options;
    this.#workers = [
      ...options.apiservers.flatMap(({ name, api }) => [
        this.#repeat("writes", (turn) => this.#write(api, `${name}-${turn}`)),
        this.#repeat("reads", (turn) => this.#readAny(api, turn)),
      ]),
      ...options.brokers.map((broker) => this.#repeat("unwraps", this.#unwrapper(broker))),
    ];
  }

  static start(options: TrafficOptions): Traffic {
    return new Traffic(options);
  }

  /** What has been written, by name. */
  get texts(): ReadonlyMap<string, string> {
    return this.#texts;
  }

  /** Ends it after the requests under way. */
  async stop(): Promise<Tally> {
    this.#stopped = true;
    await Promise.all(this.#workers);
    return this.#tally;
  }

  async #repeat(kind: keyof Tally, act: (turn: number) => Promise<number>): Promise<void> {
    const count = this.#tally[kind];
    for (let turn = 0; !this.#stopped; turn++) {
      const began = performance.now();
      try {
        if ((await act(turn)) > 0) count.again++;
        count.done++;
      } catch (error) {
        count.failures.push(`${new Date().toISOString()} ${String(error)}`);
      }
      count.slowestMs = Math.max(count.slowestMs, performance.now() - began);
      await setTimeout(PAUSE_MS[kind]);
    }
  }

  async #write(api: Apiserver["api"], name: string): Promise<number> {
    const text = `the text of ${name}`;
    await create(api, "secrets", name, text);
    this.#texts.set(name, text);
    return 0;
  }

  async #readAny(api: Apiserver["api"], turn: number): Promise<number> {
    const names = [...this.#texts.keys()];
    const name = names[turn % names.length];
    if (name === undefined) return 0;
    const text = await read(api, "secrets", name);
    if (text !== this.#texts.get(name)) throw new Error(`${name} reads ${JSON.stringify(text)}`);
    return 0;
  }

  #unwrapper(broker: Broker): (turn: number) => Promise<number> {
    const { cluster, caller } = this.#options;
    let stored: readonly Uint8Array[] = [];
    return async (turn) => {
      if (turn % LOOK_EVERY === 0) stored = distinct(await storedSecrets(cluster));
      const ciphertext = stored[turn % stored.length];
      return ciphertext === undefined ? 0 : caller.unwrap(broker, ciphertext);
    };
  }
}

/** Objects that an apiserver wrote under one seed have its ciphertext in common. */
function distinct(stored: readonly StoredValue[]): readonly Uint8Array[] {
  const byText = stored.map(({ encryptedDekSource: bytes }) => [
    Buffer.from(bytes).toString("base64"),
    bytes,
  ]);
  return [...new Map(byText as [string, Uint8Array][]).values()];
}

function nothing(): Count {
  return { done: 0, again: 0, slowestMs: 0, failures: [] };
}
