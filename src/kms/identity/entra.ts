import * as z from "zod";

import type { AccessToken } from "../access-token.ts";
import { exchange, jsonOf, notAnAnswer, type Exchange, type ExchangeDeps } from "./exchange.ts";
import type { IdentityTokenSource } from "./identity-token.ts";

export interface EntraFederation {
  readonly tenantId: string;
  readonly clientId: string;
  /** `aud`; `api://AzureADTokenExchange` if not said. */
  readonly audience?: string | undefined;
  /** A national cloud's, or a fake's. */
  readonly authority?: string | undefined;
}

export interface EntraExchange {
  readonly federation: EntraFederation;
  /** What the token is for, as `https://vault.azure.net/.default`. */
  readonly scope: string;
  /** What a resource that revoked the last token asks of the next. */
  readonly claims?: string | undefined;
  readonly identity: IdentityTokenSource;
}

const ErrorBody = z.object({ error: z.string(), error_description: z.string().catch("") });

/** The number in the description is the only thing that says why; an AADSTS number is safe to tell. */
const ENTRA: Exchange = {
  name: "Entra ID token exchange",
  reasonOf: (text) => {
    const body = ErrorBody.safeParse(jsonOf(text)).data;
    return /^AADSTS[0-9]{1,9}\b/.exec(body?.error_description ?? "")?.[0] ?? body?.error;
  },
  tells: (reason) => reason.startsWith("AADSTS"),
  codes: new Map([
    ["invalid_client", "AccessDenied"],
    ["invalid_grant", "AccessDenied"],
    ["invalid_request", "AccessDenied"],
    ["invalid_resource", "AccessDenied"],
    ["invalid_scope", "AccessDenied"],
    ["unauthorized_client", "AccessDenied"],
    ["temporarily_unavailable", "Unavailable"],
    // Too many requests, and two of Entra's own that pass, with HTTP 400.
    ["AADSTS50196", "Throttled"],
    ["AADSTS90024", "Throttled"],
    ["AADSTS90033", "Unavailable"],
  ]),
};
const Token = z.object({
  access_token: z.string().min(1),
  token_type: z.string().regex(/^bearer$/i),
  expires_in: z.number().positive(),
});

/** Client credentials with a JWT in place of a secret (RFC 7523), which a federated credential trusts. */
export async function exchangeAtEntra(
  { federation, scope, claims, identity }: EntraExchange,
  { fetch, now }: ExchangeDeps,
  signal: AbortSignal,
): Promise<AccessToken> {
  const { tenantId, clientId, audience = "api://AzureADTokenExchange" } = federation;
  const authority = (federation.authority ?? "https://login.microsoftonline.com").replace(/\/$/, "");
  const form = new URLSearchParams({
    grant_type: "client_credentials",
    client_id: clientId,
    scope,
    client_assertion_type: "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    client_assertion: await identity(audience, signal),
    ...(claims !== undefined && { claims }),
  });
  const askedAt = now();
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const url = `${authority}/${tenantId}/oauth2/v2.0/token`;
  const text = await exchange(ENTRA, url, { body: form.toString(), headers, signal }, fetch);
  const answer = Token.safeParse(jsonOf(text));
  if (!answer.success) throw notAnAnswer(ENTRA);
  return { token: answer.data.access_token, expiresAt: askedAt + answer.data.expires_in * 1000 };
}
