import { LRUCache } from "lru-cache";

import { lengthPrefixed } from "../wire/length-prefixed.ts";
import type { WrapContext } from "./key-provider.ts";
import { MAX_WRAPPABLE_BYTES } from "./wrappable.ts";

/**
 * What the vault wraps, since it has no context of its own to bind:
 *
 *     32 bytes  SHA-256 over the label, the KEK and the cluster, each UTF-8 behind its length in two bytes, big endian
 *      1 byte   how long the plaintext is, 1 to 64
 *      n bytes  the plaintext
 *     0 to 7    zero bytes up to a multiple of 8, for A256KW alone
 *
 * The label is `kek-broker/azure-key-vault/v1`.
 */
const DIGEST_BYTES = 32;
const HEAD_BYTES = DIGEST_BYTES + 1;

/** Bytes that the payload is padded to a multiple of: 1 for RSA, 8 for A256KW (RFC 3394). */
export type Block = 1 | 8;

export function payloadBytes(plaintextBytes: number, block: Block): number {
  return Math.ceil((HEAD_BYTES + plaintextBytes) / block) * block;
}

/** The caller's to zero. */
export async function makePayload(
  plaintext: Uint8Array,
  context: WrapContext,
  block: Block,
): Promise<Uint8Array<ArrayBuffer>> {
  const payload = new Uint8Array(payloadBytes(plaintext.length, block));
  payload.set(await contextDigestV1(context));
  payload.set([plaintext.length], DIGEST_BYTES);
  payload.set(plaintext, HEAD_BYTES);
  return payload;
}

/** The plaintext, a copy; `undefined` for another context, or for what `makePayload` does not make. */
export async function readPayload(
  payload: Uint8Array,
  context: WrapContext,
  block: Block,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const length = payload[DIGEST_BYTES] ?? 0;
  const end = HEAD_BYTES + length;
  if (length < 1 || length > MAX_WRAPPABLE_BYTES || payload.length !== payloadBytes(length, block)) return;
  // All of them are compared, whatever the first ones say.
  let difference = 0;
  for (const [at, byte] of (await contextDigestV1(context)).entries())
    difference |= byte ^ (payload[at] ?? 0);
  for (const byte of payload.subarray(end)) difference |= byte;
  return difference === 0 ? payload.slice(HEAD_BYTES, end) : undefined;
}

/** Of callers' clusters, which are few: Web Crypto's way there and back takes longer than all else of a payload. */
const digests = new LRUCache<string, Uint8Array>({ max: 256 });

async function contextDigestV1({ kek, cluster }: WrapContext): Promise<Uint8Array> {
  const name = JSON.stringify([kek, cluster]);
  const known = digests.get(name);
  if (known !== undefined) return known;
  const fields = ["kek-broker/azure-key-vault/v1", kek, cluster].map(lengthPrefixed);
  const bytes = new Uint8Array(fields.flatMap((field) => [...field]));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  digests.set(name, digest);
  return digest;
}
