import { isRetryable, statusOf, type Problem, type ProblemCode } from "../wire/problem.ts";
import type { Reason } from "./reason.ts";

/** Why a request was refused, as the caller will read it, and what only our own log tells. */
export class BrokerProblem extends Error {
  override readonly name = "BrokerProblem";
  readonly code: ProblemCode;
  /** What to do, for people. No ARN, no stack, nothing of another cluster. */
  readonly detail: string;
  readonly reason: Reason | undefined;
  /** Whole seconds, for `Retry-After`. */
  readonly retryAfter: number | undefined;
  /** Methods the path takes, for `Allow`. */
  readonly allow: string | undefined;

  constructor(code: ProblemCode, detail: string, more: ProblemMore = {}) {
    super(`${code}: ${detail}`, more.cause === undefined ? undefined : { cause: more.cause });
    this.code = code;
    this.detail = detail;
    this.reason = more.reason;
    this.retryAfter = more.retryAfter;
    this.allow = more.allow;
  }
}

export interface ProblemMore {
  readonly reason?: Reason;
  readonly retryAfter?: number;
  readonly allow?: string;
  readonly cause?: unknown;
}

/** The RFC 9457 body of a problem. */
export function problemBody({ code, detail }: BrokerProblem, requestId: string): Problem {
  return {
    type: `urn:kek-broker:problem:${code}`,
    title: titleOf(code),
    status: statusOf(code),
    code,
    detail,
    retryable: isRetryable(code),
    requestId,
  };
}

/** Headers that RFC 9110 wants beside some statuses. */
export function problemHeaders(problem: BrokerProblem): Record<string, string> {
  const headers: Record<string, string> = {};
  if (problem.allow !== undefined) headers["Allow"] = problem.allow;
  if (problem.retryAfter !== undefined) headers["Retry-After"] = String(problem.retryAfter);
  if (statusOf(problem.code) === 401) headers["WWW-Authenticate"] = "Bearer";
  return headers;
}

function titleOf(code: ProblemCode): string {
  switch (code) {
    case "Validation":
      return "The request is not valid";
    case "InvalidCiphertext":
      return "The ciphertext cannot be opened";
    case "AuthenticationFailed":
      return "The caller could not be authenticated";
    case "ClockSkew":
      return "The caller's clock differs from the broker's";
    case "AccessDenied":
      return "Not allowed";
    case "Revoked":
      return "The caller is revoked";
    case "SealedByAnotherCluster":
      return "Sealed by another cluster";
    case "NotFound":
      return "No such resource";
    case "MethodNotAllowed":
      return "The resource does not take this method";
    case "KeyUnavailable":
      return "The key is disabled or gone";
    case "PayloadTooLarge":
      return "The body is too large";
    case "UnsupportedMediaType":
      return "The body is not JSON";
    case "Throttled":
      return "Too many requests";
    case "Internal":
      return "The broker failed";
    case "UnsupportedOperation":
      return "Not supported by this broker";
    case "DependencyTimeout":
      return "No cloud answered in time";
    case "AuditUnavailable":
      return "The use could not be recorded";
  }
}
