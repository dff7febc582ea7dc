import type { BrokerCallCode } from "./errors.ts";

/**
 * What a failed call is followed by:
 * - `final`: every broker would say the same, or must not be asked;
 * - `next`: another broker may accept; this one will not;
 * - `retry`: another broker may answer, and this one may later.
 */
export type Verdict = "final" | "next" | "retry";

export function verdictOf(code: BrokerCallCode): Verdict {
  switch (code) {
    case "Validation":
    case "InvalidCiphertext":
    case "PayloadTooLarge":
    case "Revoked":
    case "Cancelled":
    case "NoIdentity":
      return "final";
    case "AuthenticationFailed":
    case "ClockSkew":
    case "AccessDenied":
    case "SealedByAnotherCluster":
    case "NotFound":
    case "MethodNotAllowed":
    case "UnsupportedMediaType":
    case "UnsupportedOperation":
      return "next";
    case "KeyUnavailable":
    case "Throttled":
    case "Internal":
    case "DependencyTimeout":
    case "AuditUnavailable":
    case "Unreachable":
    case "Timeout":
    case "BadAnswer":
      return "retry";
  }
}

/** Whether the shim itself was refused, not this one request. */
export function isDenial(code: BrokerCallCode): boolean {
  return (
    code === "AuthenticationFailed" || code === "ClockSkew" || code === "AccessDenied" || code === "Revoked"
  );
}

/** Whether the failure tells against this broker: it is then not asked first for a while. */
export function isBrokersOwn(code: BrokerCallCode): boolean {
  return verdictOf(code) !== "final" && !OF_THE_ENVELOPE.has(code);
}

/** Whoever can write etcd could otherwise put a broker aside with one altered Secret. */
const OF_THE_ENVELOPE: ReadonlySet<BrokerCallCode> = new Set([
  "KeyUnavailable",
  "SealedByAnotherCluster",
  "UnsupportedOperation",
]);

/**
 * Which of several brokers' failures is the caller's: a denial, since none accepted; else what a broker said itself;
 * else that none was heard.
 */
export function worseOf<Failure extends { readonly code: BrokerCallCode }>(
  a: Failure | undefined,
  b: Failure,
): Failure {
  return a === undefined || weight(b.code) > weight(a.code) ? b : a;
}

function weight(code: BrokerCallCode): number {
  if (verdictOf(code) === "final") return 4;
  if (isDenial(code) || code === "SealedByAnotherCluster") return 3;
  if (code === "Unreachable" || code === "Timeout" || code === "BadAnswer") return 1;
  return 2;
}
