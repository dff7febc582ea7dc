import type { Kek } from "../config/schema.ts";
import type { KeyProvider } from "../kms/key-provider.ts";
import { keyId } from "./key-id.ts";
import type { BrokerState } from "./state.ts";
import type { MemberReading } from "./versions.ts";

/** One member of a KEK with its provider. */
export interface ConfiguredMember {
  readonly name: string;
  readonly use: "both" | "unwrap";
  readonly provider: KeyProvider;
}

/** Members in the configuration's order. */
export function membersOf({ providers }: BrokerState, name: string, kek: Kek): readonly ConfiguredMember[] {
  return Object.entries(kek.members).map(([member, { use }]) => {
    const provider = providers.get(name)?.get(member);
    if (provider === undefined) throw new TypeError("a member without a provider");
    return { name: member, use, provider };
  });
}

/** How many members must have wrapped: by default one more than open it, where three or more wrap. */
export function wrapQuorumOf({ wrapQuorum, threshold }: Kek, wrapping: number): number {
  return wrapQuorum ?? (wrapping >= 3 ? threshold + 1 : threshold);
}

/**
 * The key id for versions that wraps used; a member that is missing there counts with its last known version.
 * @returns null when a member's version has never been seen.
 */
export async function keyIdOf(
  name: string,
  { epoch }: Kek,
  wrapping: readonly string[],
  versions: ReadonlyMap<string, string>,
  known: ReadonlyMap<string, MemberReading>,
): Promise<string | null> {
  const all = new Map<string, string>();
  for (const member of wrapping) {
    const version = versions.get(member) ?? known.get(member)?.version;
    if (version === undefined) return null;
    all.set(member, version);
  }
  return keyId(name, epoch, all);
}
