import type { Aead } from "./primitives.ts";

/** Zero is safe exactly because the key serves one message: it comes from a W drawn for this envelope alone. */
const NONCE = new Uint8Array(12);

/** AES-256-GCM with the head as additional data. */
export async function encrypt(
  key: Aead,
  head: Uint8Array<ArrayBuffer>,
  plaintext: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  return key.encrypt(NONCE, head, plaintext);
}

/** The plaintext, or `undefined` when tag and additional data do not fit. */
export async function decrypt(
  key: Aead,
  head: Uint8Array<ArrayBuffer>,
  ciphertext: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  return key.decrypt(NONCE, head, ciphertext);
}
