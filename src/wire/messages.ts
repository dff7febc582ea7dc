import * as z from "zod";

import { decodeBase64 } from "./base64.ts";
import { MAX_CIPHERTEXT_BYTES, MAX_PLAINTEXT_BYTES, MAX_UID_LENGTH, MIN_PLAINTEXT_BYTES } from "./limits.ts";
import { Name } from "./name.ts";

/**
 * Bodies of the broker's HTTP API. Requests are strict (an unknown field is refused); answers are not, so that a
 * shim one minor version older reads them.
 */

/** For the published schema: as much of the rule as a pattern can tell. */
const CANONICAL_BASE64 =
  "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{4}|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Za-z0-9+/][AQgw]==)$";

function base64Bytes(min: number, max: number) {
  const longest = Math.ceil(max / 3) * 4;
  return z
    .string()
    .max(longest, `must be at most ${longest} characters of base64 (${max} bytes)`)
    .refine(
      (text) => decodeBase64(text) !== undefined,
      "must be standard base64, padded and canonical (RFC 4648 section 4)",
    )
    .refine((text) => {
      const bytes = decodeBase64(text);
      return bytes === undefined || (bytes.length >= min && bytes.length <= max);
    }, `must decode to ${min} to ${max} bytes`)
    .meta({ contentEncoding: "base64", minLength: 4, pattern: CANONICAL_BASE64 });
}

/** The caller's name for this request, kube-apiserver's UUID: printable ASCII, logged. */
const Uid = z
  .string()
  .max(MAX_UID_LENGTH)
  .regex(/^[\x21-\x7e]*$/, "must be printable ASCII without spaces");

export const WrapRequest = z.strictObject({
  /** The DEK, base64, 1 to 256 bytes. */
  plaintext: base64Bytes(MIN_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES),
  uid: Uid.optional(),
});
export type WrapRequest = z.infer<typeof WrapRequest>;

/** As long as an envelope can hold; kube-apiserver takes 1,024 bytes. */
const KeyId = z.string().regex(/^[\x21-\x7e]{1,128}$/, "must be 1 to 128 characters of printable ASCII");

export const WrapResponse = z.object({
  /** The envelope, base64. */
  ciphertext: z.string(),
  /** The id of the key versions that sealed it; null when a member's version has never been seen. */
  keyId: KeyId.nullable(),
  /** Members that could not wrap. Absent when all did. */
  degraded: z.array(Name).optional(),
  /** Promise of inclusion in the custody log. */
  receipt: z.string().optional(),
});
export type WrapResponse = z.infer<typeof WrapResponse>;

export const UnwrapRequest = z.strictObject({
  /** An envelope, base64. */
  ciphertext: base64Bytes(1, MAX_CIPHERTEXT_BYTES),
  uid: Uid.optional(),
});
export type UnwrapRequest = z.infer<typeof UnwrapRequest>;

export const UnwrapResponse = z.object({
  /** The DEK, base64. */
  plaintext: z.string(),
  /** As written in the envelope; null when it was sealed without one. */
  keyId: KeyId.nullable(),
  receipt: z.string().optional(),
});
export type UnwrapResponse = z.infer<typeof UnwrapResponse>;

const KEK_STATES = ["ACTIVE", "DEGRADED", "UNAVAILABLE"] as const;
export const MEMBER_STATES = ["available", "unavailable", "disabled", "unknown"] as const;
export const MEMBER_USES = ["both", "unwrap"] as const;

export const KekStatus = z.object({
  name: Name,
  keyId: KeyId.nullable(),
  state: z.enum(KEK_STATES),
  threshold: z.int(),
  members: z.array(z.object({ name: Name, use: z.enum(MEMBER_USES), state: z.enum(MEMBER_STATES) })),
  /** Whole seconds. */
  lease: z.object({ maxAge: z.int(), staleIfError: z.int(), graceDenied: z.int() }),
  /** The largest envelope, in bytes, that a 32-byte plaintext can become under this KEK. */
  maxCiphertext: z.int(),
  /** What this broker can do beyond version 1 of the API. */
  features: z.array(z.string()),
  /** Digest of the broker's configuration, hex SHA-256. */
  config: z.string(),
});
export type KekStatus = z.infer<typeof KekStatus>;

export type Operation = "wrap" | "unwrap" | "status";
