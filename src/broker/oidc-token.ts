import { decodeProtectedHeader, errors, type CryptoKey } from "jose";

import type { AuthenticationDeps, PresentedToken } from "./authenticate.ts";
import type { FindKey } from "./jwks.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";
import { tokenProblem, unknownCaller, verifyToken, type TokenRules } from "./verify-token.ts";

const ALGORITHMS = new Set(["RS256", "ES256", "EdDSA"]);
const TYPES = new Set([undefined, "jwt", "at+jwt"]);
const MAX_LIFETIME_S = 3600;
/** Keys tried for a token whose header names none: a rotation leaves two or three, and each costs a verification. */
const MAX_CANDIDATES = 4;

/**
 * A token of an OIDC issuer: a ServiceAccount's, SPIFFE's, a cloud's. Issuer and subject must be registered exactly
 * before a key is looked for, so that strangers cause no fetch.
 * @throws BrokerProblem `AuthenticationFailed`, `ClockSkew`, or `DependencyTimeout`.
 */
export async function verifyOidcToken(
  token: PresentedToken,
  context: RequestContext,
  { now, issuerKeys }: AuthenticationDeps,
): Promise<Principal> {
  const { iss, sub } = token.claims;
  const { principals, config } = context.state;
  if (typeof iss !== "string" || typeof sub !== "string") throw unknownCaller("unknown-principal");
  const identity = principals.identities.get(iss)?.get(sub);
  if (identity === undefined) throw unknownCaller("unknown-principal");
  if (!TYPES.has(token.type)) throw unknownCaller("wrong-type");
  if (!ALGORITHMS.has(token.algorithm)) throw unknownCaller("wrong-algorithm");
  const rules: TokenRules = {
    issuer: iss,
    subject: sub,
    audience: config.audience,
    algorithms: [token.algorithm],
    requiredClaims: ["iss", "sub", "aud", "iat", "exp"],
    maxLifetime: MAX_LIFETIME_S,
    expiredIsSkew: false,
  };
  const { deadline, after } = context;
  const find = identity.jwks ?? issuerKeys.of(iss, identity.privateAddresses, deadline.signal, after);
  for (const key of await candidatesOf(token.text, find)) {
    if ((await verifyToken(token.text, key, rules, now())) === undefined) continue;
    return {
      kind: "oidc",
      id: `oidc ${iss} ${sub}`,
      cluster: identity.cluster,
      subject: sub,
      authority: iss,
    };
  }
  throw unknownCaller("bad-signature");
}

/** The key the token's header names, or the first few that fit while it names none. */
async function candidatesOf(token: string, find: FindKey): Promise<readonly CryptoKey[]> {
  const { alg, kid } = decodeProtectedHeader(token);
  try {
    return [await find({ ...(alg !== undefined && { alg }), ...(kid !== undefined && { kid }) })];
  } catch (error) {
    if (!(error instanceof errors.JWKSMultipleMatchingKeys)) throw tokenProblem(error, false);
    const keys: CryptoKey[] = [];
    for await (const key of error) if (keys.push(key) === MAX_CANDIDATES) break;
    return keys;
  }
}
