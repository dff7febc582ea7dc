import * as z from "zod";

import { MAX_TOKEN_LENGTH } from "../../wire/limits.ts";

/** Compact JWS (RFC 7515): three parts of base64url. */
const COMPACT_JWS = /^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$/;

const Expiry = z.object({ exp: z.number() });

/** The token in a text that may end in white space; `undefined` if it is not a JWT. */
export function readToken(text: string): string | undefined {
  const token = text.trim();
  return token.length <= MAX_TOKEN_LENGTH && COMPACT_JWS.test(token) ? token : undefined;
}

/** A token's `exp` in milliseconds, unverified: it only says how long to keep the token. */
export function expiryOf(token: string): number | undefined {
  try {
    const claims: unknown = JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString("utf8"));
    const parsed = Expiry.safeParse(claims);
    return parsed.success ? parsed.data.exp * 1000 : undefined;
  } catch {
    return undefined;
  }
}
