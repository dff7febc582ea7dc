import { randomBytes, randomUUID } from "node:crypto";

import { type Claims, RefusedToken, tokenCheck, type TrustedIssuer } from "./identity-token-check.ts";

/** A tenant's application with one federated credential. */
export interface EntraFakeOptions {
  readonly tenantId: string;
  readonly clientId: string;
  /** Compared exactly, case included. */
  readonly credential: {
    readonly trusted: TrustedIssuer;
    readonly subject: string;
    readonly audience: string;
  };
  /** Resources that tokens can be had for; default: Azure Key Vault and Managed HSM. */
  readonly resources?: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

interface EntraToken {
  readonly clientId: string;
  readonly tenantId: string;
  /** As `https://vault.azure.net`. */
  readonly resource: string;
}

export interface IdentityEntraFake {
  readonly handle: (request: Request) => Promise<Response>;
  exchanges(): number;
  /** Whose an access token is, and for what; `undefined` once it has ended. */
  tokenOf(token: string): EntraToken | undefined;
}

const LIFETIME_S = 3599;

class EntraError extends Error {
  readonly status: number;
  readonly code: string;
  readonly number: number;

  constructor(status: number, code: string, number: number, message: string) {
    super(message);
    this.status = status;
    this.code = code;
    this.number = number;
  }
}

/** A fake of Entra ID's v2.0 token endpoint for client credentials with a foreign issuer's assertion. RS256 alone. */
export function createIdentityEntraFake(options: EntraFakeOptions): IdentityEntraFake {
  const { tenantId, clientId, credential, now } = options;
  const { resources = ["https://vault.azure.net", "https://managedhsm.azure.net"] } = options;
  const check = tokenCheck(credential.trusted, ["RS256"], now);
  const tokens = new Map<string, EntraToken & { readonly endsAt: number }>();
  let exchanges = 0;

  const exchange = async (tenant: string, form: URLSearchParams): Promise<Response> => {
    if (tenant !== tenantId) {
      throw new EntraError(400, "invalid_request", 90002, `Tenant '${tenant}' not found.`);
    }
    const grant = parameter(form, "grant_type");
    if (grant !== "client_credentials") {
      throw new EntraError(
        400,
        "unsupported_grant_type",
        70003,
        "The app requested an unsupported grant type.",
      );
    }
    if (parameter(form, "client_id") !== clientId) {
      const message = `Application with identifier '${form.get("client_id") ?? ""}' was not found in the directory.`;
      throw new EntraError(400, "unauthorized_client", 700016, message);
    }
    const scope = parameter(form, "scope");
    const resource = /^(.*)\/\.default$/.exec(scope)?.[1];
    if (resource === undefined) {
      const message = `The provided value for scope ${scope} is not valid.`;
      throw new EntraError(400, "invalid_scope", 1002012, message);
    }
    if (!resources.includes(resource)) {
      const message = `The resource principal named ${resource} was not found in the tenant.`;
      throw new EntraError(400, "invalid_resource", 500011, message);
    }
    const type = parameter(form, "client_assertion_type");
    if (type !== "urn:ietf:params:oauth:client-assertion-type:jwt-bearer") {
      throw new EntraError(400, "invalid_request", 50027, "Invalid client assertion type.");
    }
    judge(await claimsOf(parameter(form, "client_assertion")));
    const token = `eyJ0eXAi.${randomBytes(48).toString("base64url")}.${randomBytes(24).toString("base64url")}`;
    tokens.set(token, { clientId, tenantId, resource, endsAt: now() + LIFETIME_S * 1000 });
    exchanges += 1;
    return Response.json({
      token_type: "Bearer",
      expires_in: LIFETIME_S,
      ext_expires_in: LIFETIME_S,
      access_token: token,
    });
  };

  const judge = ({ iss, sub, aud }: Claims): void => {
    const refuse = (number: number, what: string): never => {
      const message = `No matching federated identity record found for presented assertion ${what}. Please check your federated identity credential Subject, Audience and Issuer against the presented assertion. https://learn.microsoft.com/entra/workload-id/workload-identity-federation`;
      throw new EntraError(401, "invalid_client", number, message);
    };
    if (iss !== credential.trusted.issuer) refuse(700211, `issuer '${iss}'`);
    if (sub !== credential.subject) refuse(700213, `subject '${sub}'`);
    if (aud.length !== 1 || aud[0] !== credential.audience) refuse(700212, `audience '${aud.join(", ")}'`);
  };

  const claimsOf = async (token: string): Promise<Claims> => {
    try {
      return await check(token);
    } catch (error) {
      if (!(error instanceof RefusedToken)) throw error;
      if (error.refusal === "issuer" && error.claims !== undefined) judge(error.claims);
      throw refusalOf(error, now());
    }
  };

  return {
    exchanges: () => exchanges,
    tokenOf: (text) => {
      const token = tokens.get(text);
      return token !== undefined && token.endsAt > now() ? token : undefined;
    },
    handle: async (request) => {
      const tenant = /^\/([^/]+)\/oauth2\/v2\.0\/token$/.exec(new URL(request.url).pathname)?.[1];
      if (request.method !== "POST" || tenant === undefined) return new Response(null, { status: 404 });
      try {
        return await exchange(tenant, new URLSearchParams(await request.text()));
      } catch (error) {
        if (!(error instanceof EntraError)) throw error;
        return answerOf(error, now());
      }
    },
  };
}

function parameter(form: URLSearchParams, name: string): string {
  const value = form.get(name);
  if (value !== null && value !== "") return value;
  const message = `The request body must contain the following parameter: '${name}'.`;
  throw new EntraError(400, "invalid_request", 900144, message);
}

function refusalOf({ refusal, claims }: RefusedToken, now: number): EntraError {
  switch (refusal) {
    case "malformed":
      return new EntraError(400, "invalid_request", 50027, "JWT token is invalid or malformed.");
    case "algorithm":
      return new EntraError(
        401,
        "invalid_client",
        5002738,
        "Invalid JWT token. Not a supported signature algorithm.",
      );
    case "issuer-unreachable":
      return new EntraError(400, "invalid_request", 50166, "Request to External OIDC endpoint failed.");
    case "expired":
    case "not-yet": {
      const times = `Current time: ${new Date(now).toISOString()}, expiry time of assertion ${new Date((claims?.exp ?? 0) * 1000).toISOString()}.`;
      const message = `Client assertion is not within its valid time range. ${times}`;
      return new EntraError(401, "invalid_client", 700024, message);
    }
    case "issuer":
    case "key":
      return new EntraError(401, "invalid_client", 7000272, "The key was not found.");
    case "signature":
      return new EntraError(401, "invalid_client", 700027, "Client assertion failed signature validation.");
  }
}

function answerOf({ status, code, number, message }: EntraError, now: number): Response {
  const timestamp = new Date(now)
    .toISOString()
    .replace("T", " ")
    .replace(/\.\d+Z$/, "Z");
  const [trace, correlation] = [randomUUID(), randomUUID()];
  return Response.json(
    {
      error: code,
      error_description: `AADSTS${number}: ${message} Trace ID: ${trace} Correlation ID: ${correlation} Timestamp: ${timestamp}`,
      error_codes: [number],
      timestamp,
      trace_id: trace,
      correlation_id: correlation,
      error_uri: `https://login.microsoftonline.com/error?code=${number}`,
    },
    { status },
  );
}
