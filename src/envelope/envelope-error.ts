import type { MemberReport } from "./member.ts";

/**
 * Why an envelope was not made or not opened.
 *
 * - `InvalidEnvelope`: malformed, altered, made for another KEK, or refused by a member that would know. Final.
 * - `UnsupportedVersion`: a format this code does not know. Final here; a newer broker may open it.
 * - `UnsupportedOperation`: well formed, but not built: a threshold above 1, or an envelope too large to be opened.
 * - `SealedByAnotherCluster`: names a cluster that is not among the accepted ones.
 * - `ThresholdTooLow`: needs fewer members than the KEK's `minThreshold`.
 * - `RsaOnly`: holds no wrap of a symmetric member although the KEK has one, so anyone could have made it.
 * - `UnknownMembers`: none of its members is configured; a broker with another configuration may open it.
 * - `Unavailable`: too few members could act; `failures` says who and why. The same call may succeed later.
 */
export type EnvelopeErrorCode =
  | "InvalidEnvelope"
  | "UnsupportedVersion"
  | "UnsupportedOperation"
  | "SealedByAnotherCluster"
  | "ThresholdTooLow"
  | "RsaOnly"
  | "UnknownMembers"
  | "Unavailable";

/** What `seal` and `open` throw. Its message holds no key material and nothing read from the envelope. */
export class EnvelopeError extends Error {
  override readonly name = "EnvelopeError";
  readonly code: EnvelopeErrorCode;
  /** Members that were asked and failed, in the order asked. */
  readonly failures: readonly MemberReport[];

  constructor(code: EnvelopeErrorCode, message: string, failures: readonly MemberReport[] = []) {
    super(message);
    this.code = code;
    this.failures = failures;
  }
}

/** Something is wrong with the envelope itself. The reason is about its public form, or that a key does not fit it. */
export function invalidEnvelope(reason: string, failures: readonly MemberReport[] = []): EnvelopeError {
  return new EnvelopeError("InvalidEnvelope", `the envelope is not valid: ${reason}`, failures);
}
