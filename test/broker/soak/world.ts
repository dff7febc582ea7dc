import { readHead } from "../../../src/envelope/open.ts";
import { BrokerCallError } from "../../../src/shim/errors.ts";
import type { Exchange, RawAnswer } from "../../../src/shim/transport.ts";
import { createFakeCloud, NO_LAG } from "../fake-cloud.ts";
import { NOW, oidcToken } from "../fixture.ts";
import { BrokerInstance, type Clouds } from "./broker-instance.ts";
import { requireRightAnswer } from "./answers.ts";
import { idOf, MEMBERS, type KekSetup, type MemberName } from "./kek.ts";
import { ShimInstance } from "./shim-instance.ts";

/** Behind it all brokers that are up take turns, as behind a load balancer. */
const BALANCED = "https://balanced.example.test";
const ORIGINS = ["https://one.example.test", "https://two.example.test", "https://three.example.test"];
/** What a kube-apiserver has wrapped when it starts. */
export const SEED = Buffer.from("a DEK seed of thirty-two bytes..");
const TOKEN_LASTS_MS = 600_000;

/** Something sealed and acknowledged. */
export interface Sealed {
  readonly ciphertext: Uint8Array;
  readonly plaintext: Uint8Array;
  readonly members: readonly MemberName[];
}

/** A shim with what is known of it since all was last quiet. */
export interface Place {
  readonly index: number;
  shim: ShimInstance;
  /** How many ids it had shown when all was last quiet; undefined if it was not running then. */
  shownBefore: number | undefined;
}

/** Clouds, brokers and shims in one process, and the truth about them. Time moves only by `pass`. */
export class World {
  readonly clouds: Clouds = {
    aws: createFakeCloud("aws"),
    gcp: createFakeCloud("gcp"),
    az: createFakeCloud("az"),
  };
  readonly brokers: readonly BrokerInstance[];
  readonly places: Place[] = [];
  readonly sealed: Sealed[] = [];
  /** The newest configuration; brokers get it one by one. */
  setup: KekSetup = { epoch: 0, wrapping: MEMBERS };
  now = NOW;
  /** True changes of the id since all was last quiet. */
  rotations = 0;
  /** What was wrong inside a shim, which would take it for a broker's failure. */
  readonly #complaints: unknown[] = [];
  #turn = 0;
  #random: number;
  #token: { readonly until: number; readonly text: Promise<string> } | undefined;

  private constructor(seed: number) {
    this.#random = seed;
    this.brokers = ORIGINS.map(
      (origin) => new BrokerInstance(origin, this.clouds, this.setup, () => this.now),
    );
  }

  static async start(seed: number): Promise<World> {
    const world = new World(seed);
    for (const index of [0, 1]) {
      const shim = await world.#startShim(index);
      await shim.encrypt(SEED);
      world.places.push({ index, shim, shownBefore: 1 });
    }
    return world;
  }

  /** The newest configuration's id once everybody has heard of everything. */
  trueId(): Promise<string> {
    return idOf(this.setup, (name) => this.clouds[name].primary);
  }

  /** Lets the truth change, and counts it if it did under any configuration that somebody runs. */
  async change(act: () => void): Promise<void> {
    const before = await this.#truths();
    act();
    if ((await this.#truths()) !== before) this.rotations += 1;
    for (const broker of this.brokers) broker.stirredAt = this.now;
  }

  async #truths(): Promise<string> {
    const setups = [this.setup, ...this.brokers.map(({ setup }) => setup)];
    const ids = setups.map((setup) => idOf(setup, (name) => this.clouds[name].primary));
    return (await Promise.all(ids)).join(" ");
  }

  async pass(ms: number): Promise<void> {
    const until = this.now + ms;
    for (;;) {
      const [next] = this.places.map(({ shim }) => shim).sort((one, other) => one.due - other.due);
      if (next === undefined || next.due > until) break;
      this.now = Math.max(this.now, next.due);
      await next.poll();
    }
    this.now = until;
  }

  /** With what every kube-apiserver asks for when it starts, as far as it can be had. */
  async restartShim(place: Place): Promise<void> {
    place.shim.stop();
    place.shim = await this.#startShim(place.index);
    place.shownBefore = undefined;
    await place.shim.encrypt(SEED).catch(() => {});
  }

  /** Ends every fault, lag and delay. */
  heal(): void {
    for (const broker of this.brokers) {
      broker.up = true;
      broker.reload(this.setup);
      for (const name of MEMBERS) {
        broker.heal(name);
        broker.lag(name, "reading", NO_LAG);
        broker.lag(name, "sealing", NO_LAG);
      }
    }
  }

  /** The brokers that a shim can end up at: any of those it knows by name, one of those behind the balancer. */
  reachable({ origins }: ShimInstance): { readonly any: boolean; readonly brokers: BrokerInstance[] } {
    const any = !origins.includes(BALANCED);
    return {
      any,
      brokers: this.brokers.filter(({ up, origin }) => up && (!any || origins.includes(origin))),
    };
  }

  /** @throws what was found wrong since the start */
  requireNoComplaint(): void {
    if (this.#complaints.length > 0) throw this.#complaints[0];
  }

  stop(): void {
    for (const { shim } of this.places) shim.stop();
  }

  #startShim(index: number): Promise<ShimInstance> {
    return ShimInstance.start({
      // One with brokers in order, failing over; one behind a balancer that alternates.
      origins: index === 0 ? ORIGINS.slice(0, 2) : [BALANCED],
      now: () => this.now,
      random: () => {
        this.#random = (Math.imul(this.#random, 1_103_515_245) + 12_345) & 0x7f_ff_ff_ff;
        return this.#random / 0x80_00_00_00;
      },
      token: () => this.#freshToken(),
      exchange: (exchange) => this.#exchange(exchange),
      complain: (complaint) => void this.#complaints.push(complaint),
    });
  }

  #freshToken(): Promise<string> {
    if (this.#token === undefined || this.now > this.#token.until) {
      const iat = Math.floor(this.now / 1000);
      const text = oidcToken({ claims: { iat, exp: iat + 3_000 } });
      this.#token = { until: this.now + TOKEN_LASTS_MS, text };
    }
    return this.#token.text;
  }

  #brokerAt(origin: string): BrokerInstance | undefined {
    if (origin !== BALANCED) return this.brokers.find((broker) => broker.origin === origin);
    const up = this.brokers.filter((broker) => broker.up);
    return up[this.#turn++ % Math.max(1, up.length)];
  }

  async #exchange({ origin, method, path, headers, body }: Exchange): Promise<RawAnswer> {
    const broker = this.#brokerAt(origin);
    if (broker?.up !== true) throw new BrokerCallError("Unreachable", "made unreachable");
    const init = { method, headers, ...(method === "POST" && { body: new Uint8Array(body) }) };
    const response = await broker.fetch(new Request(`${origin}${path}`, init));
    const text = await response.text();
    const answered = { broker, clouds: this.clouds, path, status: response.status, text };
    await requireRightAnswer(answered).catch((complaint: unknown) => this.#complaints.push(complaint));
    return {
      status: response.status,
      contentType: response.headers.get("content-type") ?? "",
      date: undefined,
      retryAfter: response.headers.get("retry-after") ?? undefined,
      body: Buffer.from(text),
    };
  }
}

/** Who wrapped what an envelope holds. */
export function membersIn(ciphertext: Uint8Array): MemberName[] {
  return readHead(new Uint8Array(ciphertext)).members.map(({ name }) => name as MemberName);
}
