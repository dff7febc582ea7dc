import * as z from "zod";

import { ProviderError, type ProviderErrorCode } from "./key-provider.ts";

/**
 * Names of errors that KMS, its front end, STS and the SDK give, and what each means for a member.
 * `IncorrectKeyException` is a wrap of another key; `KMSInvalidStateException` a key pending deletion, without its
 * material, or in a key store that is away. Clock skew comes as a refused signature. `TimeoutError` is the SDK's name
 * for a lost connection (ECONNRESET, EPIPE, ETIMEDOUT); deadlines are ours and abort. Some of those that pass come with
 * HTTP 400: STS could not reach the identity provider, or the request did not arrive in time.
 */
const CODES: ReadonlyMap<string, ProviderErrorCode> = new Map([
  ...named("InvalidCiphertext", "InvalidCiphertextException", "IncorrectKeyException"),
  ...named(
    "KeyUnavailable",
    "DisabledException",
    "InvalidArnException",
    "InvalidKeyUsageException",
    "KMSInvalidStateException",
    "KeyUnavailableException",
    "NotFoundException",
    "UnsupportedOperationException",
  ),
  ...named(
    "AccessDenied",
    "AccessDenied",
    "AccessDeniedException",
    "CredentialsProviderError",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidIdentityToken",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "TokenProviderError",
    "UnrecognizedClientException",
  ),
  ...named(
    "Throttled",
    "LimitExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
  ),
  ...named("Timeout", "AbortError"),
  ...named(
    "Unavailable",
    "DependencyTimeoutException",
    "IDPCommunicationError",
    "IDPCommunicationErrorException",
    "InternalFailure",
    "InternalServerError",
    "KMSInternalException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ServiceUnavailable",
    "ServiceUnavailableException",
    "TimeoutError",
  ),
  ...named("Refused", "SerializationException", "UnknownOperationException", "ValidationException"),
]);

function named(code: ProviderErrorCode, ...names: string[]): [string, ProviderErrorCode][] {
  return names.map((name) => [name, code]);
}

/** What is read of an SDK error; everything else stays behind. */
const AwsError = z.object({
  name: z.string().catch(""),
  $metadata: z
    .object({ httpStatusCode: z.number().optional(), requestId: z.string().optional() })
    .catch({})
    .default({}),
});

/**
 * What the AWS SDK threw, as a code and nothing more: its message and fields name accounts, ARNs and endpoints, so
 * not even `cause` keeps it. The name is told only if it is one of those above.
 */
export function fromAwsError(operation: string, error: unknown): ProviderError {
  const { name, $metadata } = AwsError.catch({ name: "", $metadata: {} }).parse(error);
  const { httpStatusCode: status, requestId } = $metadata;
  const known = CODES.get(name);
  const reason = known === undefined ? (status === undefined ? "no answer" : `HTTP ${status}`) : name;
  return new ProviderError(
    known ?? codeOfStatus(status),
    `AWS KMS ${operation}: ${reason}`,
    requestId === undefined ? undefined : { cloudRequestId: requestId },
  );
}

/** For answers without a known name: a load balancer's page, a name of tomorrow, or no answer at all. */
function codeOfStatus(status: number | undefined): ProviderErrorCode {
  if (status === 401 || status === 403) return "AccessDenied";
  if (status === 404) return "KeyUnavailable";
  if (status === 408) return "Timeout";
  if (status === 429) return "Throttled";
  if (status !== undefined && status >= 400 && status < 500) return "Refused";
  return "Unavailable";
}
