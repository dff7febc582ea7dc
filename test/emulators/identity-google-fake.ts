import { randomBytes } from "node:crypto";

import * as z from "zod";

import { type Claims, RefusedToken, tokenCheck, type TrustedIssuer } from "./identity-token-check.ts";

/** A workload identity pool's provider with the mapping `google.subject=assertion.sub`, and who may impersonate whom. */
export interface GoogleFakeOptions {
  /** `projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER`. */
  readonly provider: string;
  readonly trusted: TrustedIssuer;
  /** If empty, the provider's own name is the audience. */
  readonly allowedAudiences?: readonly string[];
  /** The attribute condition `assertion.sub == …`. */
  readonly subject?: string;
  /** Subjects with roles/iam.workloadIdentityUser, by service account. */
  readonly serviceAccounts?: Readonly<Record<string, readonly string[]>>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

interface GoogleToken {
  /** `principal://…` of the pool, or the service account. */
  readonly principal: string;
  readonly scopes: readonly string[];
}

export interface IdentityGoogleFake {
  /** For sts.googleapis.com and iamcredentials.googleapis.com both. */
  readonly handle: (request: Request) => Promise<Response>;
  /** Exchanges answered with a token. */
  exchanges(): number;
  /** Whose an access token is; `undefined` once it has ended. */
  tokenOf(token: string): GoogleToken | undefined;
}

const ExchangeRequest = z.object({
  audience: z.string(),
  grantType: z.literal("urn:ietf:params:oauth:grant-type:token-exchange"),
  requestedTokenType: z.literal("urn:ietf:params:oauth:token-type:access_token"),
  scope: z.string().min(1),
  subjectToken: z.string(),
  subjectTokenType: z.enum([
    "urn:ietf:params:oauth:token-type:jwt",
    "urn:ietf:params:oauth:token-type:id_token",
  ]),
});
const AccessTokenRequest = z.strictObject({
  scope: z.array(z.string()).min(1),
  lifetime: z
    .string()
    .regex(/^[0-9]+s$/)
    .optional(),
  delegates: z.array(z.string()).optional(),
});

const PLATFORM_SCOPE = "https://www.googleapis.com/auth/cloud-platform";
const IAM_SCOPE = "https://www.googleapis.com/auth/iam";

class OAuthError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(code: string, description: string, status = 400) {
    super(description);
    this.status = status;
    this.code = code;
  }
}

/** A fake of Google's token exchange and of generateAccessToken, after their REST references. */
export function createIdentityGoogleFake(options: GoogleFakeOptions): IdentityGoogleFake {
  const { provider, trusted, now } = options;
  const check = tokenCheck(trusted, ["RS256", "ES256"], now);
  const tokens = new Map<string, GoogleToken & { readonly endsAt: number }>();
  const name = `//iam.googleapis.com/${provider}`;
  let exchanges = 0;

  const give = (
    token: GoogleToken,
    lifetimeS: number,
  ): { readonly text: string; readonly endsAt: number } => {
    const text = `ya29.${randomBytes(48).toString("base64url")}`;
    const endsAt = now() + lifetimeS * 1000;
    tokens.set(text, { ...token, endsAt });
    return { text, endsAt };
  };
  const tokenOf = (text: string): GoogleToken | undefined => {
    const token = tokens.get(text);
    return token !== undefined && token.endsAt > now() ? token : undefined;
  };

  const exchange = async (request: Request): Promise<Response> => {
    const parsed = ExchangeRequest.safeParse(await parametersOf(request));
    if (!parsed.success) throw new OAuthError("invalid_request", "Invalid request");
    const { audience, scope, subjectToken } = parsed.data;
    if (!/^\/\/iam\.googleapis\.com\/projects\/[0-9]+\//.test(audience)) {
      const what = "This value should be the full resource name of the Identity Provider.";
      throw new OAuthError("invalid_request", `Invalid value for "audience". ${what}`);
    }
    if (audience !== name) {
      const why =
        "This might either be because the pool or provider is disabled or deleted or because it doesn't exist.";
      throw new OAuthError(
        "invalid_target",
        `The target service indicated by the "audience" parameters is invalid. ${why}`,
      );
    }
    const { sub, aud } = await claimsOf(subjectToken);
    const allowed = options.allowedAudiences ?? [];
    const expected = allowed.length > 0 ? allowed : [name, `https:${name}`];
    if (!aud.some((one) => expected.includes(one))) {
      throw new OAuthError(
        "invalid_grant",
        `The audience in ID Token [${aud.join(",")}] does not match the expected audience.`,
      );
    }
    if (options.subject !== undefined && options.subject !== sub) {
      const description = "The given credential is rejected by the attribute condition.";
      throw new OAuthError("unauthorized_client", description, 401);
    }
    const pool = provider.replace(/\/providers\/.*$/, "");
    const principal = `principal://iam.googleapis.com/${pool}/subject/${sub}`;
    const { text } = give({ principal, scopes: scope.split(" ") }, 3600);
    exchanges += 1;
    return Response.json({
      access_token: text,
      issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
      token_type: "Bearer",
      expires_in: 3600,
    });
  };

  const claimsOf = async (token: string): Promise<Claims> => {
    try {
      return await check(token);
    } catch (error) {
      throw error instanceof RefusedToken ? refusalOf(error) : error;
    }
  };

  const impersonate = async (request: Request, account: string): Promise<Response> => {
    const caller = tokenOf(request.headers.get("authorization")?.replace(/^Bearer /, "") ?? "");
    if (
      caller === undefined ||
      !caller.scopes.some((scope) => scope === PLATFORM_SCOPE || scope === IAM_SCOPE)
    ) {
      return apiError(
        401,
        "UNAUTHENTICATED",
        "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
      );
    }
    const body = AccessTokenRequest.safeParse(await request.json());
    if (!body.success) return apiError(400, "INVALID_ARGUMENT", "Invalid JSON payload received.");
    const lifetimeS = Number(body.data.lifetime?.slice(0, -1) ?? "3600");
    if (lifetimeS < 1 || lifetimeS > 3600) {
      return apiError(400, "INVALID_ARGUMENT", "Invalid lifetime. Maximum allowed is 3600 seconds.");
    }
    const subjects = options.serviceAccounts?.[account] ?? [];
    if (!subjects.some((subject) => caller.principal.endsWith(`/subject/${subject}`))) {
      const message =
        "Permission 'iam.serviceAccounts.getAccessToken' denied on resource (or it may not exist).";
      return apiError(403, "PERMISSION_DENIED", message, "IAM_PERMISSION_DENIED");
    }
    const { text, endsAt } = give({ principal: account, scopes: body.data.scope }, lifetimeS);
    exchanges += 1;
    const expireTime = new Date(endsAt).toISOString().replace(/\.\d+Z$/, "Z");
    return Response.json({ accessToken: text, expireTime });
  };

  return {
    exchanges: () => exchanges,
    tokenOf,
    handle: async (request) => {
      const { pathname } = new URL(request.url);
      const account = /^\/v1\/projects\/-\/serviceAccounts\/([^/:]+):generateAccessToken$/.exec(
        decodeURIComponent(pathname),
      )?.[1];
      if (request.method !== "POST") return apiError(404, "NOT_FOUND", "Not found.");
      if (account !== undefined) return impersonate(request, account);
      if (pathname !== "/v1/token") return apiError(404, "NOT_FOUND", "Not found.");
      try {
        return await exchange(request);
      } catch (error) {
        if (!(error instanceof OAuthError)) throw error;
        const { code, message, status } = error;
        return Response.json({ error: code, error_description: message }, { status });
      }
    },
  };
}

/** JSON with names as Google's, or the form of RFC 8693. */
async function parametersOf(request: Request): Promise<unknown> {
  const text = await request.text();
  if (request.headers.get("content-type")?.startsWith("application/json") === true) {
    return JSON.parse(text) as unknown;
  }
  const camelCase = (key: string): string =>
    key.replaceAll(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
  return Object.fromEntries([...new URLSearchParams(text)].map(([key, value]) => [camelCase(key), value]));
}

function refusalOf({ refusal, claims }: RefusedToken): OAuthError {
  switch (refusal) {
    case "issuer":
      return new OAuthError(
        "invalid_grant",
        `The issuer in ID Token ${claims?.iss ?? ""} does not match the expected ones.`,
      );
    case "issuer-unreachable":
      return new OAuthError("invalid_grant", "Error connecting to the given credential's issuer.");
    case "expired":
    case "not-yet":
      return new OAuthError("invalid_grant", `ID Token issued at ${claims?.iat ?? 0} is stale to sign-in.`);
    case "malformed":
    case "algorithm":
      return new OAuthError("invalid_request", "Unable to parse the ID Token.");
    case "key":
    case "signature":
      return new OAuthError("invalid_grant", "Invalid JWT signature.");
  }
}

function apiError(code: number, status: string, message: string, reason?: string): Response {
  const details =
    reason === undefined
      ? []
      : [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "iam.googleapis.com" }];
  return Response.json({ error: { code, message, status, details } }, { status: code });
}
