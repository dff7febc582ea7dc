import { makeHarness, type Harness } from "../fixture.ts";
import type { CloudCall, CloudFault, CloudView, FakeCloud, Lag } from "../fake-cloud.ts";
import { brokerStateOf, MEMBERS, type KekSetup, type MemberName } from "./kek.ts";

/** A broker's memory of versions, and its longest reading. */
const MEMORY_MS = 30_000;

export type Clouds = Readonly<Record<MemberName, FakeCloud>>;

/** One broker process with its own ways to the clouds. */
export class BrokerInstance {
  readonly origin: string;
  up = true;
  setup: KekSetup;
  /** When anything last changed of what it would read. */
  stirredAt: number;
  readonly #now: () => number;
  readonly #views: Readonly<Record<MemberName, CloudView>>;
  /** Members whose version this process has come to know. */
  readonly met = new Set<MemberName>();
  #harness: Harness;

  constructor(origin: string, clouds: Clouds, setup: KekSetup, now: () => number) {
    this.origin = origin;
    this.setup = setup;
    this.stirredAt = now();
    this.#now = now;
    this.#views = { aws: clouds.aws.from(), gcp: clouds.gcp.from(), az: clouds.az.from() };
    this.#harness = this.#start();
  }

  /** Loses all it remembered, and reads its newest configuration. */
  restart(setup: KekSetup): void {
    this.setup = setup;
    this.stirredAt = this.#now();
    this.met.clear();
    this.#harness = this.#start();
  }

  reload(setup: KekSetup): void {
    this.setup = setup;
    this.stirredAt = this.#now();
    this.#harness.state = this.#state();
  }

  fail(member: MemberName, calls: readonly CloudCall[], fault: CloudFault): void {
    this.stirredAt = this.#now();
    for (const call of calls) this.#views[member].faults.set(call, fault);
  }

  lag(member: MemberName, what: "reading" | "sealing", lag: Lag): void {
    this.stirredAt = this.#now();
    this.#views[member][what] = lag;
  }

  heal(member: MemberName): void {
    this.stirredAt = this.#now();
    this.#views[member].faults.clear();
  }

  view(member: MemberName): CloudView {
    return this.#views[member];
  }

  /** Nothing it would read has changed since its last reading must have begun. */
  get readsAreFresh(): boolean {
    return this.#now() - this.stirredAt > MEMORY_MS;
  }

  /** Members that can do all of these calls, from here. */
  able(among: readonly MemberName[], ...calls: readonly CloudCall[]): MemberName[] {
    return among.filter((name) => calls.every((call) => !this.#views[name].faults.has(call)));
  }

  async fetch(request: Request): Promise<Response> {
    return this.#harness.broker.fetch(request);
  }

  /** Results of the newest act, by member. */
  get lastOutcome(): ReadonlyMap<string, string> {
    const outcome = this.#harness.entries.findLast(({ kind }) => kind === "outcome");
    return new Map(
      outcome?.kind === "outcome" ? outcome.members.map(({ name, result }) => [name, result]) : [],
    );
  }

  #start(): Harness {
    const harness = makeHarness({ deps: { now: this.#now } });
    harness.state = this.#state();
    return harness;
  }

  #state() {
    return brokerStateOf(this.setup, new Map(MEMBERS.map((name) => [name, this.#views[name].provider])));
  }
}
