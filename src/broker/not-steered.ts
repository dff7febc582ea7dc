import { MemberFailure, type EnvelopeMember } from "../envelope/member.ts";
import { ProviderError, type KeyProvider, type ProviderCall } from "../kms/key-provider.ts";
import type { ConfiguredMember } from "./members.ts";

/** What of its surroundings a symmetric member's failure is judged by. */
export interface Surroundings {
  /** The KEK's symmetric members that wrap and that the envelope does not name. */
  readonly absent: readonly KeyProvider[];
  readonly call: ProviderCall;
}

/**
 * A symmetric member, before one whose wraps anyone can make. Who wrote the envelope chose the members and versions
 * that it names, so he may have named what lasts unavailable: a version that was disabled, or a member whose key was.
 * Such a failure is `unclear`, and leads to no RSA member, unless the key is disabled as a whole and no symmetric
 * member that the envelope leaves out could have been asked. A key that does not say so can be kept too busy for that.
 */
export function notSteered(
  asked: EnvelopeMember,
  { provider }: ConfiguredMember,
  surroundings: Surroundings,
): EnvelopeMember {
  return {
    ...asked,
    unwrap: async (wrap, openVersion) => {
      try {
        return await asked.unwrap(wrap, openVersion);
      } catch (error) {
        if (!(error instanceof MemberFailure)) throw error;
        const cause = await steeredBy(error.cause, provider, surroundings);
        if (cause === undefined) throw error;
        throw new MemberFailure(error.message, { final: false, unclear: true, cause });
      }
    },
  };
}

/** What to say of a failure that the envelope's writer could have chosen; `undefined` of an outage. */
async function steeredBy(
  failure: unknown,
  provider: KeyProvider,
  { absent, call }: Surroundings,
): Promise<unknown> {
  const code = codeOf(failure);
  if (code !== "KeyUnavailable" && code !== "AccessDenied") return undefined;
  if (code === "KeyUnavailable") {
    const ofKey = await failureToRead(provider, call);
    if (codeOf(ofKey) !== "KeyUnavailable") return ofKey instanceof ProviderError ? ofKey : failure;
  }
  const others = await Promise.all(absent.map((other) => failureToRead(other, call)));
  return others.every(isGone) ? undefined : failure;
}

async function failureToRead(provider: KeyProvider, call: ProviderCall): Promise<unknown> {
  try {
    await provider.currentVersion(call);
    return undefined;
  } catch (error) {
    return error;
  }
}

/** Throttled is there: it can be brought about by asking this very question often. */
function isGone(failure: unknown): boolean {
  const code = codeOf(failure);
  return code === "KeyUnavailable" || code === "AccessDenied" || code === "Timeout" || code === "Unavailable";
}

function codeOf(failure: unknown) {
  return failure instanceof ProviderError ? failure.code : undefined;
}
