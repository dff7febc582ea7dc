import { type CryptoKey, importJWK } from "jose";
import * as z from "zod";

/** RS256 alone is what all three clouds take from a foreign issuer; see docs/federation.md. */
export const SIGNING_ALGORITHM = "RS256";

const MAX_KEY_LENGTH = 8192;
const integer = z.string().regex(/^[A-Za-z0-9_-]+$/);

export const PublicSigningJwk = z.strictObject({
  kty: z.literal("RSA"),
  n: integer,
  e: integer,
  kid: z.string().min(1).max(128),
  alg: z.literal(SIGNING_ALGORITHM),
  use: z.literal("sig"),
});
/** What is published: an RSA key as JWK (RFC 7517). */
export type PublicSigningJwk = z.infer<typeof PublicSigningJwk>;

export const PrivateSigningJwk = PublicSigningJwk.extend({
  d: integer,
  p: integer,
  q: integer,
  dp: integer,
  dq: integer,
  qi: integer,
});
/** Secret. */
export type PrivateSigningJwk = z.infer<typeof PrivateSigningJwk>;

/** The published half of a key. */
export function publicPart({ kty, n, e, kid, alg, use }: PrivateSigningJwk): PublicSigningJwk {
  return { kty, n, e, kid, alg, use };
}

export interface SigningKey {
  readonly kid: string;
  /** Not extractable. */
  readonly key: CryptoKey;
}

/** The text is no key that tokens can be signed with. Its message holds nothing of the text. */
export class SigningKeyError extends Error {
  override readonly name = "SigningKeyError";
}

/**
 * Reads a private key as `kek-broker issuer` writes it.
 * @throws SigningKeyError.
 */
export async function importSigningKey(text: string): Promise<SigningKey> {
  const jwk = parsePrivateSigningJwk(text);
  try {
    const [key, published] = await Promise.all([importRsa(jwk), importRsa(publicPart(jwk))]);
    // Runtimes import numbers that do not belong together, and no cloud would say what is wrong.
    const probe = new TextEncoder().encode("kek-broker");
    const signature = await crypto.subtle.sign("RSASSA-PKCS1-v1_5", key, probe);
    if (await crypto.subtle.verify("RSASSA-PKCS1-v1_5", published, signature, probe))
      return { kid: jwk.kid, key };
  } catch {
    // What is below may quote the key.
  }
  throw new SigningKeyError("the signing key is not an RSA key that can be used");
}

async function importRsa(jwk: PublicSigningJwk): Promise<CryptoKey> {
  const key = await importJWK(jwk, SIGNING_ALGORITHM);
  if (key instanceof Uint8Array) throw new TypeError("a symmetric key");
  return key;
}

/** @throws SigningKeyError. */
export function parsePrivateSigningJwk(text: string): PrivateSigningJwk {
  if (text.length > MAX_KEY_LENGTH) throw new SigningKeyError("the signing key is too long to be one");
  const jwk = PrivateSigningJwk.safeParse(parsedOrUndefined(text));
  if (jwk.success) return jwk.data;
  throw new SigningKeyError(
    "the signing key is not a private RSA key for RS256 as `kek-broker issuer` writes it",
  );
}

function parsedOrUndefined(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
