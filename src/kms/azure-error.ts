import * as z from "zod";

import { ProviderError, type ProviderErrorCode } from "./key-provider.ts";

/** What is kept of a vault's answer, whatever its status. */
export interface VaultAnswer {
  readonly status: number;
  readonly requestId: string | undefined;
  readonly body: unknown;
}

/**
 * Codes that Key Vault and Managed HSM give, outer and inner, and what each means for a member. The inner one decides:
 * a disabled key, a key that lacks the operation and a missing role all come as 403 `Forbidden`. `BadParameter` is not
 * here, since it says of an unwrap that the wrap is bad, and of other requests that they are.
 */
const CODES: ReadonlyMap<string, ProviderErrorCode> = new Map([
  ...named(
    "KeyUnavailable",
    "KeyDisabled",
    "KeyExpired",
    "KeyNotFound",
    "KeyNotYetValid",
    "KeyOperationForbidden",
    "ObjectIsBeingDeleted",
    "ObjectIsBeingRecovered",
    "ObjectIsDeletedButRecoverable",
    "VaultNotFound",
  ),
  ...named(
    "AccessDenied",
    "AccessDenied",
    "Forbidden",
    "ForbiddenByConnection",
    "ForbiddenByFirewall",
    "ForbiddenByPolicy",
    "ForbiddenByRbac",
    "Unauthorized",
  ),
  ...named("Throttled", "Throttled", "TooManyRequests"),
  ...named("Timeout", "RequestTimeout"),
  ...named("Unavailable", "InternalServerError", "ServerBusy", "ServiceUnavailable"),
]);

function named(code: ProviderErrorCode, ...names: string[]): [string, ProviderErrorCode][] {
  return names.map((name) => [name, code]);
}

/** Not found: the key, or the version of it that was named. */
export class KeyMissing extends ProviderError {}

/** `{error: {code, innererror?: {code, innererror?: …}}}` (Microsoft's REST guidelines). */
const ErrorBody = z.object({ error: z.looseObject({}) });
const Level = z.looseObject({ code: z.string().optional().catch(undefined) });
const MOST_LEVELS = 4;

/** The operation is named by us, so it may stand in a message. */
export type AzureOperation = "get key" | "wrapKey" | "unwrapKey";

/**
 * What the SDK threw, as a code and nothing more: its message and fields name vaults, keys, tenants and the request,
 * so not even `cause` keeps it. A code of the vault's is told only if it is one of ours.
 *
 * `BadParameter` on an unwrap is final: the length was checked before, algorithm and encoding are ours, and versions
 * of a key cannot change, so it is this wrap that this version does not open. Any other complaint about the request
 * is `Refused`, and so leads to no member whose wraps anyone can make.
 */
export function fromAzureError(
  operation: AzureOperation,
  error: unknown,
  answer: VaultAnswer | undefined,
): ProviderError {
  if (error instanceof ProviderError) return error;
  if (answer === undefined) return withoutAnswer(operation, error);
  const codes = codesOf(answer.body);
  const known = codes.find((code) => CODES.has(code) || code === "BadParameter");
  const Kind =
    known === "KeyNotFound" || (known === undefined && answer.status === 404) ? KeyMissing : ProviderError;
  return new Kind(
    codeOf(operation, known, answer.status),
    `Azure Key Vault ${operation}: ${known ?? `HTTP ${answer.status}`}`,
    answer.requestId === undefined ? undefined : { cloudRequestId: answer.requestId },
  );
}

function codeOf(operation: AzureOperation, known: string | undefined, status: number): ProviderErrorCode {
  if (known === "BadParameter")
    return operation === "unwrapKey" && status === 400 ? "InvalidCiphertext" : "Refused";
  return (known === undefined ? undefined : CODES.get(known)) ?? codeOfStatus(status);
}

/** Innermost first. */
function codesOf(body: unknown): readonly string[] {
  const codes: string[] = [];
  let level: unknown = ErrorBody.safeParse(body).data?.error;
  for (let depth = 0; depth < MOST_LEVELS && level !== undefined; depth++) {
    const parsed = Level.safeParse(level).data;
    if (parsed?.code !== undefined) codes.unshift(parsed.code);
    level = parsed?.["innererror"] ?? parsed?.["innerError"];
  }
  return codes;
}

/** For answers without a known code: a proxy's page, a redirect, a code of tomorrow. */
function codeOfStatus(status: number): ProviderErrorCode {
  if (status === 401 || status === 403) return "AccessDenied";
  if (status === 404 || status === 409) return "KeyUnavailable";
  if (status === 408) return "Timeout";
  if (status === 429) return "Throttled";
  if (status >= 400 && status < 500) return "Refused";
  return "Unavailable";
}

/** What is read of an error of the SDK's; everything else stays behind. */
const Thrown = z.object({
  name: z.string().optional().catch(undefined),
  statusCode: z.number().optional().catch(undefined),
});

function thrown(error: unknown): z.infer<typeof Thrown> {
  return Thrown.safeParse(error).data ?? {};
}

/**
 * Both HTTP clients of the SDK report a lost connection as RestError; a plain Error is what its challenge policy
 * throws when a vault asks for a token for somebody else.
 */
function withoutAnswer(operation: AzureOperation, error: unknown): ProviderError {
  const { name } = thrown(error);
  if (name === "Error") {
    return new ProviderError("AccessDenied", `Azure Key Vault ${operation}: its challenge was not taken`);
  }
  return new ProviderError("Unavailable", `Azure Key Vault ${operation}: no answer`);
}

/** What a credential threw: our own sources throw ProviderErrors, those of `@azure/identity` errors of many names. */
export function fromCredentialError(error: unknown): ProviderError {
  if (error instanceof ProviderError) return error;
  const { name, statusCode: status } = thrown(error);
  if (name === "AbortError")
    return new ProviderError("Unavailable", "Azure token: the request for it was ended");
  if (name === "RestError" && status === undefined)
    return new ProviderError("Unavailable", "Azure token: no answer");
  if (status === 429) return new ProviderError("Throttled", "Azure token: HTTP 429");
  if (status !== undefined && status >= 500) {
    return new ProviderError("Unavailable", `Azure token: HTTP ${status}`);
  }
  return new ProviderError("AccessDenied", "Azure token: none could be had");
}
