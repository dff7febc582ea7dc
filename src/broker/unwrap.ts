import { open, readEnvelope, type SealedEnvelope } from "../envelope/open.ts";
import { decodeBase64, encodeBase64 } from "../wire/base64.ts";
import { hex } from "../wire/hex.ts";
import type { UnwrapRequest, UnwrapResponse } from "../wire/messages.ts";
import { recordedAct } from "./act.ts";
import { openableClusters, type Grant } from "./authorize.ts";
import type { BrokerServices } from "./deps.ts";
import { envelopeMember, type MemberTrace } from "./member.ts";
import { membersOf } from "./members.ts";
import { notSteered } from "./not-steered.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";
import { sealedByAnotherCluster, toProblem } from "./to-problem.ts";

/**
 * Opens an envelope of the caller's cluster, or of one it may restore.
 * @throws BrokerProblem.
 */
export async function unwrap(
  request: UnwrapRequest,
  principal: Principal,
  grant: Grant,
  context: RequestContext,
  services: BrokerServices,
): Promise<UnwrapResponse> {
  const bytes = decodeBase64(request.ciphertext) ?? new Uint8Array();
  const clusters = new Set(openableClusters(grant.cluster, services.now()));
  const sealed = readAccepted(bytes, clusters);
  const { cluster } = sealed.head;
  const envelope = hex(await services.primitives.sha256(bytes));
  services.distinctEnvelopes.add(principal.cluster, envelope);
  const intent = {
    operation: "unwrap" as const,
    kek: grant.name,
    cluster,
    envelope,
    ...(request.uid !== undefined && { uid: request.uid }),
  };
  const perform = async (trace: MemberTrace) => {
    const { plaintext, keyId } = await openFor(grant, sealed, clusters, context, services, trace);
    const answer = { plaintext: encodeBase64(plaintext), keyId };
    plaintext.fill(0);
    return { answer, outcome: { keyId } };
  };
  return recordedAct({ principal, intent, perform }, context, services);
}

/** Garbage and other clusters' envelopes are refused before anything is recorded. */
function readAccepted(bytes: Uint8Array<ArrayBuffer>, accepted: ReadonlySet<string>): SealedEnvelope {
  try {
    const envelope = readEnvelope(bytes);
    if (accepted.has(envelope.head.cluster)) return envelope;
  } catch (error) {
    throw toProblem(error, false);
  }
  throw sealedByAnotherCluster();
}

function openFor(
  { name, kek }: Grant,
  envelope: SealedEnvelope,
  clusters: ReadonlySet<string>,
  { state, deadline, requestId }: RequestContext,
  { metrics, primitives }: BrokerServices,
  trace: MemberTrace,
) {
  const { signal } = deadline;
  const calls = { context: { kek: name, cluster: envelope.head.cluster }, signal, requestId, trace, metrics };
  const configured = membersOf(state, name, kek);
  const named = new Set(envelope.head.members.map((member) => member.name));
  const absent = configured
    .filter((member) => member.provider.symmetric && member.use === "both" && !named.has(member.name))
    .map(({ provider }) => provider);
  // What lies behind a symmetric member may be one whose wraps anyone can make; `allowRsaOnly` takes those anyway.
  const isGuarded = !kek.allowRsaOnly && configured.some(({ provider }) => !provider.symmetric);
  const input = {
    envelope,
    kek: name,
    clusters,
    members: configured.map((member) => {
      const asked = envelopeMember(member.name, member.provider, calls);
      return isGuarded && member.provider.symmetric
        ? notSteered(asked, member, { absent, call: { signal, requestId } })
        : asked;
    }),
    minThreshold: kek.minThreshold,
    allowRsaOnly: kek.allowRsaOnly,
  };
  return open(input, primitives);
}
