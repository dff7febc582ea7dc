import { MemberFailure, type EnvelopeMember } from "../envelope/member.ts";
import { open, readEnvelope, type SealedEnvelope } from "../envelope/open.ts";
import { ProviderError, type ProviderCall } from "../kms/key-provider.ts";
import { decodeBase64, encodeBase64 } from "../wire/base64.ts";
import { hex } from "../wire/hex.ts";
import type { UnwrapRequest, UnwrapResponse } from "../wire/messages.ts";
import { recordedAct } from "./act.ts";
import { openableClusters, type Grant } from "./authorize.ts";
import type { BrokerServices } from "./deps.ts";
import { envelopeMember, type MemberTrace } from "./member.ts";
import { membersOf, type ConfiguredMember } from "./members.ts";
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
  // What lies behind a symmetric member may be one whose wraps anyone can make.
  const isGuarded = configured.some(({ provider }) => !provider.symmetric);
  const input = {
    envelope,
    kek: name,
    clusters,
    members: configured.map((member) => {
      const asked = envelopeMember(member.name, member.provider, calls);
      return isGuarded && member.provider.symmetric
        ? notSteered(asked, member, { signal, requestId })
        : asked;
    }),
    minThreshold: kek.minThreshold,
    allowRsaOnly: kek.allowRsaOnly,
  };
  return open(input, primitives);
}

/**
 * A key that cannot be had for this wrap, though nothing says that it is gone as a whole: a version of it is disabled
 * or destroyed, and who wrote the envelope chose that version. So it is no unavailability of the member; nor is it one
 * where the key does not say, since it can be kept too busy for that.
 */
function notSteered(
  asked: EnvelopeMember,
  { provider }: ConfiguredMember,
  call: ProviderCall,
): EnvelopeMember {
  return {
    ...asked,
    unwrap: async (wrap, openVersion) => {
      try {
        return await asked.unwrap(wrap, openVersion);
      } catch (error) {
        if (!(error instanceof MemberFailure) || !isKeyUnavailable(error.cause)) throw error;
        const whole: unknown = await provider.currentVersion(call).catch((failure: unknown) => failure);
        if (isKeyUnavailable(whole)) throw error;
        const cause = whole instanceof ProviderError ? whole : error.cause;
        throw new MemberFailure(error.message, { final: false, unclear: true, cause });
      }
    },
  };
}

function isKeyUnavailable(cause: unknown): boolean {
  return cause instanceof ProviderError && cause.code === "KeyUnavailable";
}
