import { open, readHead } from "../envelope/open.ts";
import { decodeBase64, encodeBase64 } from "../wire/base64.ts";
import { sha256Hex } from "../wire/hex.ts";
import type { UnwrapRequest, UnwrapResponse } from "../wire/messages.ts";
import { recordedAct } from "./act.ts";
import { openableClusters, type Grant } from "./authorize.ts";
import type { BrokerServices } from "./deps.ts";
import { envelopeMember, type MemberTrace } from "./member.ts";
import { membersOf } from "./members.ts";
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
  const cluster = sealingCluster(bytes, clusters);
  const envelope = await sha256Hex(bytes);
  services.distinctEnvelopes.add(principal.cluster, envelope);
  const intent = {
    operation: "unwrap" as const,
    kek: grant.name,
    cluster,
    envelope,
    ...(request.uid !== undefined && { uid: request.uid }),
  };
  const perform = async (trace: MemberTrace) => {
    const { plaintext, keyId } = await openFor(grant, cluster, bytes, clusters, context, services, trace);
    const answer = { plaintext: encodeBase64(plaintext), keyId };
    plaintext.fill(0);
    return { answer, outcome: { keyId } };
  };
  return recordedAct({ principal, intent, perform }, context, services);
}

/** Whose an envelope says it is. Garbage and other clusters' envelopes are refused before anything is recorded. */
function sealingCluster(envelope: Uint8Array<ArrayBuffer>, accepted: ReadonlySet<string>): string {
  try {
    const { cluster } = readHead(envelope);
    if (accepted.has(cluster)) return cluster;
  } catch (error) {
    throw toProblem(error, false);
  }
  throw sealedByAnotherCluster();
}

function openFor(
  { name, kek }: Grant,
  cluster: string,
  envelope: Uint8Array<ArrayBuffer>,
  clusters: ReadonlySet<string>,
  { state, deadline, requestId }: RequestContext,
  { metrics }: BrokerServices,
  trace: MemberTrace,
) {
  const { signal } = deadline;
  const calls = { context: { kek: name, cluster }, signal, requestId, trace, metrics };
  return open({
    envelope,
    kek: name,
    clusters,
    members: membersOf(state, name, kek).map((member) => envelopeMember(member.name, member.provider, calls)),
    minThreshold: kek.minThreshold,
    allowRsaOnly: kek.allowRsaOnly,
  });
}
