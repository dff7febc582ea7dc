import { generateKeyPairSync, randomUUID } from "node:crypto";

import { type JWK, importJWK, jwtVerify } from "jose";

import { type LoopbackServer, startLoopbackServer } from "../emulators/loopback-server.ts";

const ISSUER = { url: "https://issuer.kek.example.com", subject: "kek-broker" };
const AUDIENCE = "api://AzureADTokenExchange";
const TOKEN_LIFE_S = 3599;

/** One application of one tenant, whose federated credential trusts one issuer. */
export interface FakeEntra extends LoopbackServer {
  /** As a member's `federation` has it. */
  readonly federation: { readonly tenantId: string; readonly clientId: string; readonly authority: string };
  /** As the broker's `identity` has it, but for where the key is. */
  readonly issuer: { readonly url: string; readonly subject: string };
  /** The private key that the broker signs with, a JWK as `kek-broker issuer` writes it. */
  readonly signingKey: string;
}

/**
 * Gives whoever shows an assertion of that issuer a token, as Entra does for client credentials with a federated
 * credential: signature, issuer, subject and audience are checked.
 */
export async function startFakeEntra(issueToken: () => string): Promise<FakeEntra> {
  const [tenantId, clientId] = [randomUUID(), randomUUID()];
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  const known = await importJWK(publicKey.export({ format: "jwk" }) as JWK, "RS256");
  const server = await startLoopbackServer(async ({ method, path, body }) => {
    const form = new URLSearchParams(body.toString());
    const isRight =
      method === "POST" &&
      path === `/${tenantId}/oauth2/v2.0/token` &&
      form.get("client_id") === clientId &&
      form.get("grant_type") === "client_credentials" &&
      form.get("scope") === "https://vault.azure.net/.default" &&
      (await isTrusted(form.get("client_assertion") ?? "", known));
    const headers = { "content-type": "application/json" };
    if (!isRight) return { status: 401, headers, body: JSON.stringify({ error: "invalid_client" }) };
    const token = { token_type: "Bearer", expires_in: TOKEN_LIFE_S, access_token: issueToken() };
    return { status: 200, headers, body: JSON.stringify(token) };
  });
  const jwk = { ...privateKey.export({ format: "jwk" }), kid: "1", alg: "RS256", use: "sig" };
  const federation = { tenantId, clientId, authority: server.url };
  return { ...server, federation, issuer: ISSUER, signingKey: JSON.stringify(jwk) };
}

async function isTrusted(assertion: string, key: Awaited<ReturnType<typeof importJWK>>): Promise<boolean> {
  const { url: issuer, subject } = ISSUER;
  const expected = { issuer, subject, audience: AUDIENCE, algorithms: ["RS256"] };
  return jwtVerify(assertion, key, expected).then(
    () => true,
    () => false,
  );
}
