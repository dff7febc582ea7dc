import { encodeBase64Url } from "./base64.ts";

/**
 * A node's proof of who it is: a JWT (RFC 7519) over the very request it is sent with. Made by the shim for each
 * request, checked by the broker.
 */
export const NODE_ASSERTION_TYPE = "kek-node+jwt";
export const NODE_ASSERTION_ALGORITHMS = ["ES256", "EdDSA"] as const;
/** Longest life, `exp` − `iat`, in seconds. */
export const NODE_ASSERTION_MAX_AGE_S = 60;

/** Claims beside the registered `iss`, `sub` (both `<cluster>/<node>`), `aud`, `iat`, `exp` and `jti`. */
export interface NodeAssertionClaims {
  /** HTTP method, upper case. */
  readonly htm: string;
  /** Path of the request target, without query. */
  readonly htu: string;
  /** `bodyHash` of the body bytes; of no bytes for GET. */
  readonly bh: string;
}

/** base64url SHA-256 of a request's body bytes. */
export async function bodyHash(body: Uint8Array<ArrayBuffer>): Promise<string> {
  return encodeBase64Url(new Uint8Array(await crypto.subtle.digest("SHA-256", body)));
}
