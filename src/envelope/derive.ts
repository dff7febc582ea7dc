/** The one secret that members wrap; drawn afresh for each envelope. */
export const W_BYTES = 32;

/** Part of the format: another meaning of the bytes needs another label. */
const KEY_LABEL = "kek-broker/v1/key";
const COMMITMENT_LABEL = "kek-broker/v1/commit";

export type AeadKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

export interface Derived {
  /** For AES-256-GCM; its bytes never enter the JavaScript heap. */
  readonly key: AeadKey;
  /** 32 bytes that no other pair of W and head leads to. */
  readonly commitment: Uint8Array<ArrayBuffer>;
}

/**
 * HKDF-SHA-256 (RFC 5869) with W as input keying material and the hash of the head as salt. Web Crypto extracts and
 * expands in one call, so the same PRK is computed once for each label.
 */
export async function derive(w: Uint8Array<ArrayBuffer>, head: Uint8Array<ArrayBuffer>): Promise<Derived> {
  const [ikm, digest] = await Promise.all([
    crypto.subtle.importKey("raw", w, "HKDF", false, ["deriveKey", "deriveBits"]),
    crypto.subtle.digest("SHA-256", head),
  ]);
  const hkdf = (label: string) => ({
    name: "HKDF",
    hash: "SHA-256",
    salt: new Uint8Array(digest),
    info: new TextEncoder().encode(label),
  });
  const aes = { name: "AES-GCM", length: 256 };
  const [key, commitment] = await Promise.all([
    crypto.subtle.deriveKey(hkdf(KEY_LABEL), ikm, aes, false, ["encrypt", "decrypt"]),
    crypto.subtle.deriveBits(hkdf(COMMITMENT_LABEL), ikm, 256),
  ]);
  return { key, commitment: new Uint8Array(commitment) };
}
