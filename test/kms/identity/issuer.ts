import { createHmac, createPrivateKey, generateKeyPairSync, type KeyObject, sign } from "node:crypto";

import { importSigningKey, PrivateSigningJwk, publicPart } from "../../../src/kms/identity/signing-key.ts";

/** Seconds; the tests' clock begins here. */
export const NOW_S = 1_800_000_000;
export const ISSUER = "https://kek-issuer.example.com/prod";
export const SUBJECT = "kek-broker";

const AUDIENCE = "an-audience";

/** A clock that a test moves. */
export function clock() {
  let time = NOW_S * 1000;
  return {
    now: () => time,
    /** Seconds. */
    pass: (seconds: number) => void (time += seconds * 1000),
  };
}

export function newKey(kid: string): PrivateSigningJwk {
  const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  return PrivateSigningJwk.parse({ ...privateKey.export({ format: "jwk" }), kid, alg: "RS256", use: "sig" });
}

/** Generating one takes a while, and most tests need any. */
export const KEY = newKey("key-1");
export const OTHER_KEY = newKey("key-2");

export const signingKey = (key = KEY) => importSigningKey(JSON.stringify(key));

/** An issuer's documents as a static web server has them, and what is asked of it. */
export function publishedIssuer(...keys: readonly object[]) {
  const state: { keys: readonly object[]; down: boolean; asked: number } = { keys, down: false, asked: 0 };
  const documents = (): Readonly<Record<string, object>> => ({
    [`${ISSUER}/.well-known/openid-configuration`]: {
      issuer: ISSUER,
      jwks_uri: `${ISSUER}/jwks.json`,
      response_types_supported: ["id_token"],
      subject_types_supported: ["public"],
      id_token_signing_alg_values_supported: ["RS256"],
    },
    [`${ISSUER}/jwks.json`]: { keys: state.keys },
  });
  return {
    publish: (...next: readonly object[]) => void (state.keys = next),
    goDown: () => void (state.down = true),
    asked: () => state.asked,
    trusted: {
      issuer: ISSUER,
      fetch: (url: string): Promise<Response> => {
        state.asked += 1;
        const document = documents()[url];
        if (state.down || document === undefined) return Promise.resolve(new Response(null, { status: 404 }));
        return Promise.resolve(Response.json(document));
      },
    },
  };
}

export const published = (key = KEY) => publicPart(key);

interface Forgery {
  readonly header?: object;
  readonly claims?: object;
  readonly key?: PrivateSigningJwk;
  /** Instead of an RSA signature over the rest. */
  readonly signature?: (signed: string) => Buffer;
}

/** A token for an audience as the broker would sign it, but for what is forged. */
export function forged({ header = {}, claims = {}, key = KEY, signature }: Forgery) {
  return (audience = AUDIENCE): string => {
    const head = { alg: "RS256", kid: key.kid, typ: "JWT", ...header };
    const body = { iss: ISSUER, sub: SUBJECT, aud: audience, iat: NOW_S - 30, exp: NOW_S + 270, ...claims };
    const signed = [head, body]
      .map((part) => Buffer.from(JSON.stringify(part)).toString("base64url"))
      .join(".");
    const made = signature?.(signed) ?? sign("sha256", Buffer.from(signed), privateKey(key));
    return `${signed}.${made.toString("base64url")}`;
  };
}

function privateKey(key: PrivateSigningJwk): KeyObject {
  return createPrivateKey({ key, format: "jwk" });
}

/** HS256 with the published key for a secret: what a verifier that believes the header falls for. */
export function hmacWithPublicKey(signed: string): Buffer {
  return createHmac("sha256", JSON.stringify(published())).update(signed).digest();
}
