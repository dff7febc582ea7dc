import * as z from "zod";

import type { AccessToken } from "../access-token.ts";
import { exchange, jsonOf, notAnAnswer, type Exchange, type ExchangeDeps } from "./exchange.ts";
import type { IdentityTokenSource } from "./identity-token.ts";

export interface GoogleFederation {
  /** `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`. */
  readonly provider: string;
  /** `aud`; the provider's own name if not said. */
  readonly audience?: string | undefined;
  /** To impersonate. */
  readonly serviceAccount?: string | undefined;
  /** In place of both Google's. */
  readonly endpoint?: string | undefined;
}

export interface GoogleExchange {
  readonly federation: GoogleFederation;
  readonly identity: IdentityTokenSource;
}

const KMS_SCOPE = "https://www.googleapis.com/auth/cloudkms";
/** What iamcredentials.googleapis.com takes. */
const IAM_SCOPE = "https://www.googleapis.com/auth/iam";
const IMPERSONATED_S = 3600;

const OAuthError = z.object({ error: z.string() });
const STS: Exchange = {
  name: "Google STS token exchange",
  reasonOf: (text) => OAuthError.safeParse(jsonOf(text)).data?.error,
  codes: new Map([
    ["invalid_client", "AccessDenied"],
    ["invalid_grant", "AccessDenied"],
    ["invalid_request", "AccessDenied"],
    ["invalid_target", "AccessDenied"],
    ["unauthorized_client", "AccessDenied"],
    ["access_denied", "AccessDenied"],
    ["server_error", "Unavailable"],
    ["temporarily_unavailable", "Unavailable"],
  ]),
};
const StsToken = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });

const ApiError = z.object({ error: z.object({ status: z.string() }) });
const IAM: Exchange = {
  name: "Google IAM Credentials generateAccessToken",
  reasonOf: (text) => ApiError.safeParse(jsonOf(text)).data?.error.status,
  codes: new Map([
    ["FAILED_PRECONDITION", "AccessDenied"],
    ["INVALID_ARGUMENT", "AccessDenied"],
    ["NOT_FOUND", "AccessDenied"],
    ["PERMISSION_DENIED", "AccessDenied"],
    ["RESOURCE_EXHAUSTED", "Throttled"],
    ["UNAUTHENTICATED", "AccessDenied"],
  ]),
};
const IamToken = z.object({
  accessToken: z.string().min(1),
  expireTime: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
});

/** Workload identity federation: a token of the broker's for one of the pool, and that for the service account's. */
export async function exchangeAtGoogle(
  { federation, identity }: GoogleExchange,
  deps: ExchangeDeps,
  signal: AbortSignal,
): Promise<AccessToken> {
  const { provider, serviceAccount, endpoint } = federation;
  const name = `//iam.googleapis.com/${provider}`;
  const subjectToken = await identity(federation.audience ?? `https:${name}`, signal);
  const request = {
    audience: name,
    grantType: "urn:ietf:params:oauth:grant-type:token-exchange",
    requestedTokenType: "urn:ietf:params:oauth:token-type:access_token",
    scope: serviceAccount === undefined ? KMS_SCOPE : IAM_SCOPE,
    subjectToken,
    subjectTokenType: "urn:ietf:params:oauth:token-type:jwt",
  };
  const askedAt = deps.now();
  const url = at(endpoint ?? "https://sts.googleapis.com", "/v1/token");
  const text = await exchange(STS, url, asJson(request, signal), deps.fetch);
  const answer = StsToken.safeParse(jsonOf(text));
  if (!answer.success) throw notAnAnswer(STS);
  const token = { token: answer.data.access_token, expiresAt: askedAt + answer.data.expires_in * 1000 };
  return serviceAccount === undefined ? token : impersonate(token, serviceAccount, endpoint, deps, signal);
}

async function impersonate(
  { token }: AccessToken,
  serviceAccount: string,
  endpoint: string | undefined,
  { fetch }: ExchangeDeps,
  signal: AbortSignal,
): Promise<AccessToken> {
  const url = at(
    endpoint ?? "https://iamcredentials.googleapis.com",
    `/v1/projects/-/serviceAccounts/${encodeURIComponent(serviceAccount)}:generateAccessToken`,
  );
  const init = asJson({ scope: [KMS_SCOPE], lifetime: `${IMPERSONATED_S}s` }, signal);
  const headers = { ...init.headers, authorization: `Bearer ${token}` };
  const text = await exchange(IAM, url, { ...init, headers }, fetch);
  const answer = IamToken.safeParse(jsonOf(text));
  if (!answer.success) throw notAnAnswer(IAM);
  return { token: answer.data.accessToken, expiresAt: answer.data.expireTime };
}

function at(endpoint: string, path: string): string {
  return `${endpoint.replace(/\/$/, "")}${path}`;
}

function asJson(value: object, signal: AbortSignal) {
  return { body: JSON.stringify(value), headers: { "content-type": "application/json" }, signal };
}
