import * as z from "zod";

import type { AccessTokenSource } from "./access-token.ts";
import { ProviderError, type ProviderErrorCode } from "./key-provider.ts";

/** What says who asks: `authorization`, and with some credentials the project that pays. */
export interface Authorization {
  (signal: AbortSignal): Promise<Readonly<Record<string, string>>>;
  /** Google did not know who asked: default credentials are looked for anew, once in ten seconds. */
  readonly forget: () => void;
}

const RETRY_MS = 10_000;
const SCOPE = "https://www.googleapis.com/auth/cloudkms";

/**
 * A source's tokens, which it keeps and forgets itself, else Application Default Credentials, which an emulator does
 * without. `now` is in milliseconds of a monotonic clock.
 */
export function authorizationOf(
  accessToken: AccessTokenSource | undefined,
  emulated: boolean,
  now = (): number => performance.now(),
): Authorization {
  const forget = (): void => {};
  if (accessToken !== undefined) {
    const bearer = async (signal: AbortSignal) => ({
      authorization: `Bearer ${(await accessToken(signal)).token}`,
    });
    return Object.assign(bearer, { forget });
  }
  return emulated ? Object.assign(async () => ({}), { forget }) : defaultCredentials(now);
}

/** Application Default Credentials: found once, and asked before each call, as they know when a token ends. */
function defaultCredentials(now: () => number): Authorization {
  const find = async () => {
    const { GoogleAuth } = await import("google-auth-library");
    // Without a project it asks another of Google's services for one, and fails with it; nobody needs it here.
    const auth = new GoogleAuth({ scopes: [SCOPE], projectId: "unused" });
    // As the SDK has it: a service account's key signs its own token, without asking for one.
    auth.useJWTAccessWithScope = true;
    return auth.getClient();
  };
  let found: ReturnType<typeof find> | undefined;
  let foundAt = 0;
  const findOnce = () => {
    if (found !== undefined) return found;
    foundAt = now();
    const own = find().catch((error: unknown) => {
      if (found === own) found = undefined;
      throw error;
    });
    found = own;
    return own;
  };
  const authorize = async () => {
    try {
      const client = await findOnce();
      return Object.fromEntries(await client.getRequestHeaders());
    } catch (error) {
      throw noCredentials(error);
    }
  };
  const forget = (): void => {
    if (now() - foundAt >= RETRY_MS) found = undefined;
  };
  return Object.assign(authorize, { forget });
}

const CredentialFailure = z
  .object({ status: z.number().optional().catch(undefined), code: z.string().optional().catch(undefined) })
  .catch({});

/** Whoever gives tokens is away or busy, or there are no credentials here. */
function noCredentials(error: unknown): ProviderError {
  const { status, code } = CredentialFailure.parse(error);
  return new ProviderError(
    credentialCode(status, code),
    `Google Cloud KMS: no credentials${status === undefined ? "" : `, HTTP ${status}`}`,
  );
}

function credentialCode(status: number | undefined, code: string | undefined): ProviderErrorCode {
  if (status === 429) return "Throttled";
  if (status !== undefined) return status >= 500 ? "Unavailable" : "AccessDenied";
  return /^(E[A-Z_]+|TimeoutError|AbortError)$/.test(code ?? "") && code !== "ENOENT"
    ? "Unavailable"
    : "AccessDenied";
}
