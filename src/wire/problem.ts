import * as z from "zod";

/**
 * Everything that can go wrong at the broker, as a caller sees it. The names follow the AWS XKS proxy API, without
 * its `Exception` suffix; a code is closed and stable, a detail is for people.
 */
export const PROBLEM_CODES = [
  "Validation",
  "InvalidCiphertext",
  "AuthenticationFailed",
  "ClockSkew",
  "AccessDenied",
  "Revoked",
  "SealedByAnotherCluster",
  "NotFound",
  "MethodNotAllowed",
  "KeyUnavailable",
  "PayloadTooLarge",
  "UnsupportedMediaType",
  "Throttled",
  "Internal",
  "UnsupportedOperation",
  "DependencyTimeout",
  "AuditUnavailable",
] as const;

export type ProblemCode = (typeof PROBLEM_CODES)[number];

/** RFC 9457 problem details as the broker answers them. */
export const Problem = z.object({
  type: z.string(),
  title: z.string(),
  status: z.int(),
  code: z.enum(PROBLEM_CODES),
  /** What was wrong, where, and what to do. */
  detail: z.string(),
  /** Whether the same request may succeed later or at another broker. */
  retryable: z.boolean(),
  requestId: z.string(),
});
export type Problem = z.infer<typeof Problem>;

export const PROBLEM_MEDIA_TYPE = "application/problem+json";

/** HTTP status of a code (RFC 9110). */
export function statusOf(code: ProblemCode) {
  switch (code) {
    case "Validation":
    case "InvalidCiphertext":
      return 400;
    case "AuthenticationFailed":
    case "ClockSkew":
      return 401;
    case "AccessDenied":
    case "Revoked":
    case "SealedByAnotherCluster":
      return 403;
    case "NotFound":
      return 404;
    case "MethodNotAllowed":
      return 405;
    case "KeyUnavailable":
      return 409;
    case "PayloadTooLarge":
      return 413;
    case "UnsupportedMediaType":
      return 415;
    case "Throttled":
      return 429;
    case "Internal":
      return 500;
    case "UnsupportedOperation":
      return 501;
    case "DependencyTimeout":
    case "AuditUnavailable":
      return 503;
  }
}

/** Whether repeating the same request can help; a denial is the next broker's to judge, not this one's. */
export function isRetryable(code: ProblemCode): boolean {
  switch (code) {
    case "KeyUnavailable":
    case "Throttled":
    case "Internal":
    case "DependencyTimeout":
    case "AuditUnavailable":
      return true;
    case "Validation":
    case "InvalidCiphertext":
    case "AuthenticationFailed":
    case "ClockSkew":
    case "AccessDenied":
    case "Revoked":
    case "SealedByAnotherCluster":
    case "NotFound":
    case "MethodNotAllowed":
    case "PayloadTooLarge":
    case "UnsupportedMediaType":
    case "UnsupportedOperation":
      return false;
  }
}
