import type { AeadKey } from "./derive.ts";
import { TAG_BYTES } from "./envelope.ts";

/** Zero is safe exactly because the key serves one message: it comes from a W drawn for this envelope alone. */
const NONCE = new Uint8Array(12);

/** AES-256-GCM with the head as additional data. */
export async function encrypt(
  key: AeadKey,
  head: Uint8Array<ArrayBuffer>,
  plaintext: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer>> {
  return new Uint8Array(await crypto.subtle.encrypt(parameters(head), key, plaintext));
}

/** The plaintext, or `undefined` when tag and additional data do not fit. */
export async function decrypt(
  key: AeadKey,
  head: Uint8Array<ArrayBuffer>,
  ciphertext: Uint8Array<ArrayBuffer>,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  try {
    return new Uint8Array(await crypto.subtle.decrypt(parameters(head), key, ciphertext));
  } catch (error) {
    // Web Crypto's one answer to a bad tag; anything else is a defect of ours.
    if (error instanceof Error && error.name === "OperationError") return undefined;
    throw error;
  }
}

function parameters(head: Uint8Array<ArrayBuffer>) {
  return { name: "AES-GCM", iv: NONCE, additionalData: head, tagLength: TAG_BYTES * 8 };
}
