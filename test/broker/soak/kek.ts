import { keyId } from "../../../src/broker/key-id.ts";
import { wrapQuorumOf } from "../../../src/broker/members.ts";
import { stateOf, configInput, KEK } from "../fixture.ts";
import type { BrokerState } from "../../../src/broker/state.ts";
import type { KeyProvider } from "../../../src/kms/key-provider.ts";
import { CLOUD_KINDS } from "../fake-cloud.ts";

export const MEMBERS = ["aws", "gcp", "az"] as const;
export type MemberName = (typeof MEMBERS)[number];

/** One configuration of the KEK: what the soak changes of it. */
export interface KekSetup {
  readonly epoch: number;
  readonly wrapping: readonly MemberName[];
}

const dev = configInput().keks?.[KEK]?.members["dev"];

export function brokerStateOf(
  { epoch, wrapping }: KekSetup,
  providers: ReadonlyMap<string, KeyProvider>,
): BrokerState {
  const members = MEMBERS.map((name) => [
    name,
    { ...dev, use: wrapping.includes(name) ? ("both" as const) : ("unwrap" as const) },
  ]);
  const keks = { [KEK]: { epoch, members: Object.fromEntries(members) as never } };
  return stateOf(configInput({ keks }), new Map([[KEK, providers]]));
}

const ids = new Map<string, Promise<string>>();

/** The id for these versions; hashed once. */
export function idOf(
  { epoch, wrapping }: KekSetup,
  versionOf: (name: MemberName) => string,
): Promise<string> {
  const versions = wrapping.map((name) => [name, versionOf(name)] as const);
  const key = JSON.stringify([epoch, versions]);
  const known = ids.get(key) ?? keyId(KEK, epoch, new Map(versions));
  ids.set(key, known);
  return known;
}

/** Whether those that can act suffice for an envelope that opens again. */
export function canSeal({ wrapping }: KekSetup, able: readonly MemberName[]): boolean {
  const quorum = wrapQuorumOf({ threshold: 1 } as never, wrapping.length);
  return able.length >= quorum && able.some((name) => CLOUD_KINDS[name].symmetric);
}
