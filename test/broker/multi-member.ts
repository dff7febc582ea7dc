import type { Outcome } from "../../src/audit/entry.ts";
import type { KeyProvider } from "../../src/kms/key-provider.ts";
import { createFakeCloud, CLOUD_CALLS, CLOUD_KINDS } from "./fake-cloud.ts";
import type { CloudFault, CloudKind, CloudView, FakeCloud } from "./fake-cloud.ts";
import { configInput, KEK, makeHarness, stateOf, type Harness } from "./fixture.ts";

/** A member of the KEK under test, called as its kind; one cloud each, seen by every broker its own way. */
export interface Member {
  readonly name: CloudKind;
  readonly cloud: FakeCloud;
}

export function membersOf(...kinds: readonly CloudKind[]): readonly Member[] {
  return kinds.map((kind) => ({ name: kind, cloud: createFakeCloud(kind) }));
}

export interface TestBroker {
  readonly harness: Harness;
  readonly view: (name: string) => CloudView;
  /** The newest act's outcome. */
  readonly outcome: () => Outcome;
}

/** What a member is to this broker: the cloud, or something that passes for it. */
export type Disguise = (member: Member, view: CloudView) => KeyProvider;

export interface BrokerOptions {
  readonly kek?: object;
  /** Members that only open. */
  readonly readers?: readonly CloudKind[];
  readonly disguise?: Disguise;
}

const dev = configInput().keks?.[KEK]?.members["dev"];

/** One broker; each has its own ways to the clouds, and its own memory. */
export function brokerOf(members: readonly Member[], options: BrokerOptions = {}): TestBroker {
  const { kek = {}, readers = [], disguise = (_member, view) => view.provider } = options;
  const views = new Map(members.map((member) => [member.name as string, member.cloud.from()]));
  const view = (name: string): CloudView => {
    const found = views.get(name);
    if (found === undefined) throw new Error(`no member ${name}`);
    return found;
  };
  const providers = new Map(
    members.map((member): [string, KeyProvider] => [member.name, disguise(member, view(member.name))]),
  );
  const config = members.map(({ name }) => [
    name,
    { ...dev, use: readers.includes(name) ? "unwrap" : "both" },
  ]);
  const keks = { [KEK]: { members: Object.fromEntries(config) as never, ...kek } };
  const harness = makeHarness();
  harness.state = stateOf(configInput({ keks }), new Map([[KEK, providers]]));
  const outcome = (): Outcome => {
    const last = harness.entries.at(-1);
    if (last?.kind !== "outcome") throw new Error("the newest entry is no outcome");
    return last;
  };
  return { harness, view, outcome };
}

export function fail({ view }: TestBroker, names: readonly string[], fault: CloudFault): void {
  for (const name of names) for (const call of CLOUD_CALLS) view(name).faults.set(call, fault);
}

export function away(broker: TestBroker, names: readonly string[]): void {
  fail(broker, names, { code: "Unavailable", after: false });
}

export const isSymmetric = (name: CloudKind): boolean => CLOUD_KINDS[name].symmetric;

/** Every choice of some, none and all of them. */
export function subsetsOf<T>(all: readonly T[]): readonly (readonly T[])[] {
  return Array.from({ length: 2 ** all.length }, (_, bits) => all.filter((_, at) => (bits >> at) & 1));
}

/** As a broker asks them: symmetric ones first, each kind as configured. */
export function inOrder(names: readonly CloudKind[]): readonly CloudKind[] {
  return [...names.filter(isSymmetric), ...names.filter((name) => !isSymmetric(name))];
}
