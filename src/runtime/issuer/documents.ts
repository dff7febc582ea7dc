import { calculateJwkThumbprint } from "jose";
import { generateKeyPair } from "node:crypto";
import { promisify } from "node:util";

import {
  PrivateSigningJwk,
  SIGNING_ALGORITHM,
  type PublicSigningJwk,
} from "../../kms/identity/signing-key.ts";

/** Beyond 2030 by SP 800-57; and as a JWK within the 5 KB of a Worker's secret. */
const MODULUS_BITS = 3072;

/** A new signing key, called by its RFC 7638 thumbprint. */
export async function newSigningKey(): Promise<PrivateSigningJwk> {
  const { privateKey } = await promisify(generateKeyPair)("rsa", { modulusLength: MODULUS_BITS });
  const jwk = privateKey.export({ format: "jwk" });
  const kid = await calculateJwkThumbprint({ kty: "RSA", n: String(jwk.n), e: String(jwk.e) });
  return PrivateSigningJwk.parse({ ...jwk, kid, alg: SIGNING_ALGORITHM, use: "sig" });
}

/** OpenID Connect Discovery 1.0, as much as clouds read of it: nobody logs in here, so no endpoint for that. */
export function discoveryOf(url: string): object {
  return {
    issuer: url,
    jwks_uri: `${url}/jwks.json`,
    response_types_supported: ["id_token"],
    subject_types_supported: ["public"],
    id_token_signing_alg_values_supported: [SIGNING_ALGORITHM],
    claims_supported: ["iss", "sub", "aud", "iat", "exp", "jti"],
  };
}

/** RFC 7517. */
export function jwksOf(keys: readonly PublicSigningJwk[]): object {
  return { keys };
}
