import * as z from "zod";

import { type ProviderCall, ProviderError, type ProviderErrorCode } from "./key-provider.ts";

export type GoogleOperation = "Encrypt" | "Decrypt" | "GetCryptoKey";

/**
 * Google's canonical statuses in the order of their gRPC numbers, and what each means for a member. A version that is
 * disabled, scheduled for destruction or destroyed is FAILED_PRECONDITION, and so is an API that was never switched
 * on. A key that is absent is NOT_FOUND to who may see it and PERMISSION_DENIED to all others; a location that has
 * no such service is NOT_FOUND too. INVALID_ARGUMENT is looked into, see below.
 */
const STATUSES = [
  ["OK", "Unavailable"],
  ["CANCELLED", "Unavailable"],
  ["UNKNOWN", "Unavailable"],
  ["INVALID_ARGUMENT", "Refused"],
  ["DEADLINE_EXCEEDED", "Timeout"],
  ["NOT_FOUND", "KeyUnavailable"],
  ["ALREADY_EXISTS", "Refused"],
  ["PERMISSION_DENIED", "AccessDenied"],
  ["RESOURCE_EXHAUSTED", "Throttled"],
  ["FAILED_PRECONDITION", "KeyUnavailable"],
  ["ABORTED", "Unavailable"],
  ["OUT_OF_RANGE", "Refused"],
  ["UNIMPLEMENTED", "Refused"],
  ["INTERNAL", "Unavailable"],
  ["UNAVAILABLE", "Unavailable"],
  ["DATA_LOSS", "Unavailable"],
  ["UNAUTHENTICATED", "AccessDenied"],
] as const satisfies readonly (readonly [name: string, code: ProviderErrorCode])[];

/** Reasons of google.api.ErrorReason that say more than the status they come with. */
const REASONS: ReadonlyMap<string, ProviderErrorCode> = new Map([
  ["API_KEY_INVALID", "AccessDenied"],
  ["RATE_LIMIT_EXCEEDED", "Throttled"],
  ["RESOURCE_QUOTA_EXCEEDED", "Throttled"],
]);

/** More of them, which are told because they say what an operator must do. */
const TOLD_REASONS: ReadonlySet<string> = new Set([
  ...REASONS.keys(),
  "ACCESS_TOKEN_EXPIRED",
  "ACCESS_TOKEN_SCOPE_INSUFFICIENT",
  "ACCESS_TOKEN_TYPE_UNSUPPORTED",
  "ACCOUNT_STATE_INVALID",
  "BILLING_DISABLED",
  "CONSUMER_INVALID",
  "CONSUMER_SUSPENDED",
  "CREDENTIALS_MISSING",
  "GCP_SUSPENDED",
  "IAM_PERMISSION_DENIED",
  "LOCATION_ORG_POLICY_VIOLATED",
  "LOCATION_POLICY_VIOLATED",
  "ORG_RESTRICTION_VIOLATION",
  "RESOURCE_PROJECT_INVALID",
  "RESOURCE_USAGE_RESTRICTION_VIOLATED",
  "SECURITY_POLICY_VIOLATED",
  "SERVICE_DISABLED",
  "USER_PROJECT_DENIED",
]);

/** An error over HTTP: its status, and what Google's JSON says if it is that. */
export class GoogleHttpError extends Error {
  override readonly name = "GoogleHttpError";
  readonly httpStatus: number;
  /** The canonical status' name. */
  readonly code: string | undefined;
  /** Of its google.rpc.ErrorInfo. */
  readonly reason: string | undefined;

  constructor(httpStatus: number, body: unknown) {
    const { status, message, details } = ErrorBody.parse(body).error;
    super(message);
    this.httpStatus = httpStatus;
    this.code = status;
    this.reason = details.find(({ reason }) => reason !== undefined)?.reason;
  }
}

const NO_DETAILS = { status: undefined, message: "", details: [] };
const ErrorBody = z
  .object({
    error: z
      .object({
        status: z.string().optional().catch(undefined),
        message: z.string().catch(""),
        details: z.array(z.object({ reason: z.string().optional().catch(undefined) })).catch([]),
      })
      .catch(NO_DETAILS),
  })
  .catch({ error: NO_DETAILS });

/** What is read of an error, be it the SDK's or ours; `code` is a gRPC number there and a name here. */
const Failure = z
  .object({
    code: z.union([z.number(), z.string()]).optional().catch(undefined),
    httpStatus: z.number().optional().catch(undefined),
    reason: z.string().optional().catch(undefined),
    message: z.string().catch(""),
  })
  .catch({ message: "" });

/**
 * Makes one call. Whatever it throws leaves as a ProviderError: `Timeout` once the call's signal has ended it, else
 * what `fromGoogleError` makes of it.
 */
export async function asProviderErrors<T>(
  operation: GoogleOperation,
  { signal }: ProviderCall,
  act: () => Promise<T>,
): Promise<T> {
  try {
    signal.throwIfAborted();
    return await act();
  } catch (error) {
    if (signal.aborted) {
      throw new ProviderError("Timeout", `Google Cloud KMS ${operation}: ended before an answer`);
    }
    throw error instanceof ProviderError ? error : fromGoogleError(operation, error);
  }
}

/**
 * What Google answered, as a code and nothing more: its messages name projects and keys, so not even `cause` keeps
 * one. Status and reason are told only if they are among those above.
 */
export function fromGoogleError(operation: GoogleOperation, error: unknown): ProviderError {
  const failure = Failure.parse(error);
  const [status, codeOfStatus] = statusOf(failure.code) ?? [undefined, codeOfHttp(failure.httpStatus)];
  const reason =
    failure.reason !== undefined && TOLD_REASONS.has(failure.reason) ? failure.reason : undefined;
  const code =
    REASONS.get(reason ?? "") ?? codeOfMessage(operation, status, reason, failure.message) ?? codeOfStatus;
  const what =
    status ?? (failure.httpStatus === undefined ? "no usable answer" : `HTTP ${failure.httpStatus}`);
  return new ProviderError(
    code,
    `Google Cloud KMS ${operation}: ${what}${reason === undefined ? "" : `, ${reason}`}`,
  );
}

/** Whether Google did not take the credentials, whatever they may do. */
export function isUnauthenticated(error: unknown): boolean {
  const { code, httpStatus } = Failure.parse(error);
  return (statusOf(code)?.[0] ?? (httpStatus === 401 && "UNAUTHENTICATED")) === "UNAUTHENTICATED";
}

function statusOf(code: number | string | undefined) {
  return typeof code === "number" ? STATUSES[code] : STATUSES.find(([name]) => name === code);
}

/**
 * Only the text tells the meanings of INVALID_ARGUMENT apart. A checksum that did not match what arrived, which Google
 * asks to try again, names its field; these texts come first, as they hold "ciphertext" too. A Decrypt that fails
 * begins with "Decryption failed", whether the ciphertext, the AAD or the key is another one. What else is about the
 * request's address, and not the wrap, must not be final.
 */
function codeOfMessage(
  operation: GoogleOperation,
  status: string | undefined,
  reason: string | undefined,
  message: string,
): ProviderErrorCode | undefined {
  // grpc-js says so itself of an answer over the limit.
  if (status === "RESOURCE_EXHAUSTED" && /^(8 \w+: )?Received message larger than max/.test(message)) {
    return "Unavailable";
  }
  if (status !== "INVALID_ARGUMENT") return undefined;
  if (/crc32c|checksum/i.test(message)) return "Unavailable";
  if (operation !== "Decrypt" || reason !== undefined) return undefined;
  if (/decrypt|ciphertext/i.test(message)) return "InvalidCiphertext";
  return /\b(API key|location|project|purpose|resource|user)\b/i.test(message)
    ? undefined
    : "InvalidCiphertext";
}

/** For answers that are not Google's JSON: a load balancer's page, a proxy's, or no answer at all. */
function codeOfHttp(status: number | undefined): ProviderErrorCode {
  if (status === 401 || status === 403) return "AccessDenied";
  if (status === 404) return "KeyUnavailable";
  if (status === 408 || status === 504) return "Timeout";
  if (status === 429) return "Throttled";
  if (status !== undefined && status >= 400 && status < 500) return "Refused";
  return "Unavailable";
}
