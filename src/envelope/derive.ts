import { utf8 } from "../wire/length-prefixed.ts";
import type { Aead, Primitives } from "./primitives.ts";

/** The one secret that members wrap; drawn afresh for each envelope. */
export const W_BYTES = 32;

/** Part of the format: another meaning of the bytes needs another label. */
const LABELS = { aead: utf8("kek-broker/v1/key"), bytes: utf8("kek-broker/v1/commit") };

export interface Derived {
  readonly key: Aead;
  /** 32 bytes that no other pair of W and head leads to. */
  readonly commitment: Uint8Array<ArrayBuffer>;
}

/** HKDF-SHA-256 (RFC 5869) with W as input keying material and the hash of the head as salt. */
export async function derive(
  w: Uint8Array<ArrayBuffer>,
  head: Uint8Array<ArrayBuffer>,
  primitives: Primitives,
): Promise<Derived> {
  const { aead, bytes } = await primitives.hkdf(w, await primitives.sha256(head), LABELS);
  return { key: aead, commitment: bytes };
}
