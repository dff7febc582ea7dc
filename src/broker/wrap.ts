import { seal, type SealInput } from "../envelope/seal.ts";
import { decodeBase64, encodeBase64 } from "../wire/base64.ts";
import { hex } from "../wire/hex.ts";
import type { WrapRequest, WrapResponse } from "../wire/messages.ts";
import { recordedAct } from "./act.ts";
import type { Grant } from "./authorize.ts";
import type { BrokerServices } from "./deps.ts";
import { envelopeMember, noteUnproven, type MemberTrace } from "./member.ts";
import { keyIdOf, membersOf, wrapQuorumOf } from "./members.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";

/**
 * Seals a DEK for the caller's cluster.
 * @throws BrokerProblem.
 */
export async function wrap(
  request: WrapRequest,
  principal: Principal,
  grant: Grant,
  context: RequestContext,
  services: BrokerServices,
): Promise<WrapResponse> {
  const plaintext = decodeBase64(request.plaintext) ?? new Uint8Array();
  const intent = {
    operation: "wrap" as const,
    kek: grant.name,
    cluster: grant.cluster.id,
    ...(request.uid !== undefined && { uid: request.uid }),
  };
  const perform = async (trace: MemberTrace) => {
    const { envelope, keyId, missing } = await sealFor(grant, plaintext, context, services, trace);
    noteUnproven(trace, missing);
    const degraded = missing.map(({ name }) => name);
    if (degraded.length > 0) services.metrics.count("kek_broker_degraded_wraps_total", { kek: grant.name });
    const ciphertext = encodeBase64(envelope);
    return {
      answer: { ciphertext, keyId, ...(degraded.length > 0 && { degraded }) },
      outcome: { keyId, envelope: hex(await services.primitives.sha256(envelope)) },
    };
  };
  try {
    return await recordedAct({ principal, intent, perform }, context, services);
  } finally {
    plaintext.fill(0);
  }
}

async function sealFor(
  { name, kek, cluster }: Grant,
  plaintext: Uint8Array<ArrayBuffer>,
  { state, deadline, requestId }: RequestContext,
  { random, versions, metrics, primitives }: BrokerServices,
  trace: MemberTrace,
) {
  const { signal } = deadline;
  const wrapping = membersOf(state, name, kek).filter(({ use }) => use === "both");
  const names = wrapping.map((member) => member.name);
  const providers = new Map(wrapping.map((member) => [member.name, member.provider]));
  const calls = { context: { kek: name, cluster: cluster.id }, signal, requestId, trace, metrics };
  const input: SealInput = {
    kek: name,
    cluster: cluster.id,
    threshold: kek.threshold,
    wrapQuorum: wrapQuorumOf(kek, wrapping.length),
    members: wrapping.map((member) => envelopeMember(member.name, member.provider, calls)),
    plaintext,
    random,
    keyIdOf: async (usedNow) => {
      const used = new Map([...versions.lastUsed(name), ...usedNow]);
      const id = await keyIdOf(name, kek, names, used, versions.known(name));
      if (id !== null) return id;
      // A member that is missing here and that this instance has never seen: it may still tell its version.
      return keyIdOf(name, kek, names, used, await versions.read(name, providers, signal, requestId));
    },
  };
  const sealed = await seal(input, primitives);
  for (const [member, version] of sealed.used) versions.used(name, member, version);
  return sealed;
}
