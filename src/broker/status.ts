import type { Kek } from "../config/schema.ts";
import { maxEnvelopeBytes } from "../envelope/size.ts";
import { startDeadline } from "../wire/deadline.ts";
import type { KekStatus } from "../wire/messages.ts";
import type { Grant } from "./authorize.ts";
import type { BrokerServices } from "./deps.ts";
import { keyIdLength } from "./key-id.ts";
import { keyIdOf, membersOf, wrapQuorumOf, type ConfiguredMember } from "./members.ts";
import type { RequestContext } from "./request-context.ts";
import type { MemberReading } from "./versions.ts";

/** What `maxCiphertext` speaks of: a local KEK, a DEK seed. */
const REFERENCE_PLAINTEXT_BYTES = 32;
/** The rest of the caller's time is for the way back. */
const READING_SHARE = 0.9;

const STATE_VALUES = { UNAVAILABLE: 0, DEGRADED: 1, ACTIVE: 2 } as const;

/** How a KEK is, from readings at most 30 s old; what cannot be read in time is answered as last known. */
export async function status(
  grant: Grant,
  context: RequestContext,
  { versions, metrics }: BrokerServices,
): Promise<KekStatus> {
  const { name, kek } = grant;
  const members = membersOf(context.state, name, kek);
  const providers = new Map(members.map((member) => [member.name, member.provider]));
  const limit = startDeadline(context.deadline.remaining() * READING_SHARE, context.deadline.signal);
  const readings = await versions.read(name, providers, limit.signal, context.requestId);
  limit.clear();
  const wrapping = members.filter(({ use }) => use === "both");
  const state = stateOf(wrapping, readings, kek.threshold);
  metrics.set("kek_broker_kek_state", STATE_VALUES[state], { kek: name });
  metrics.set("kek_broker_kek_wraps", canWrap(kek, wrapping, readings) ? 1 : 0, { kek: name });
  return {
    name,
    keyId: await keyIdOf(
      name,
      kek,
      wrapping.map((member) => member.name),
      new Map(),
      readings,
    ),
    state,
    threshold: kek.threshold,
    members: members.map((member) => ({
      name: member.name,
      use: member.use,
      state: readings.get(member.name)?.state ?? "unknown",
    })),
    lease: kek.lease,
    maxCiphertext: maxCiphertextOf(grant, wrapping),
    features: [],
    config: context.state.digest,
  };
}

/** Of the members that wrap: all readable, some not, or fewer than it takes. */
function stateOf(
  wrapping: readonly ConfiguredMember[],
  readings: ReadonlyMap<string, MemberReading>,
  threshold: number,
): KekStatus["state"] {
  const available = wrapping.filter(({ name }) => readings.get(name)?.state === "available").length;
  if (available < threshold) return "UNAVAILABLE";
  return available === wrapping.length ? "ACTIVE" : "DEGRADED";
}

/** As sealing has it: a quorum, and one symmetric member in it where there is one. */
function canWrap(
  kek: Kek,
  wrapping: readonly ConfiguredMember[],
  readings: ReadonlyMap<string, MemberReading>,
): boolean {
  const available = wrapping.filter(({ name }) => readings.get(name)?.state === "available");
  if (available.length < wrapQuorumOf(kek, wrapping.length)) return false;
  const isSymmetric = ({ provider }: ConfiguredMember): boolean => provider.symmetric;
  return available.some(isSymmetric) || !wrapping.some(isSymmetric);
}

function maxCiphertextOf({ name, kek, cluster }: Grant, wrapping: readonly ConfiguredMember[]): number {
  return maxEnvelopeBytes({
    kek: name,
    cluster: cluster.id,
    keyIdLength: keyIdLength(name, kek.epoch),
    threshold: kek.threshold,
    members: wrapping.map(({ name: member, provider }) => ({
      name: member,
      maxWrapBytes: provider.maxWrapBytes,
      needsVersionToUnwrap: provider.needsVersionToUnwrap,
    })),
    plaintextBytes: REFERENCE_PLAINTEXT_BYTES,
  });
}
