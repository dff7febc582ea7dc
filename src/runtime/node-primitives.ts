import { createCipheriv, createDecipheriv, createHash, createHmac, createSecretKey } from "node:crypto";
import type { BinaryLike, KeyObject } from "node:crypto";

import type { Aead, Primitives } from "../envelope/primitives.ts";

const TAG_BYTES = 16;

/** By node:crypto, on the calling thread: a few hundred bytes take less time than another thread takes to wake. */
export const nodePrimitives: Primitives = {
  sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),

  // As RFC 5869 writes it: a quarter of what two calls of hkdfSync take.
  hkdf: (secret, salt, info) => {
    const prk = hmac(salt, secret);
    const key = hmac(prk, info.aead, ONE);
    const bytes = hmac(prk, info.bytes, ONE);
    prk.fill(0);
    const expanded = { aead: aead(createSecretKey(key)), bytes };
    key.fill(0);
    return expanded;
  },
};

/** The number of the first block, and the last one: 32 bytes are one hash. */
const ONE = Uint8Array.of(1);

function hmac(key: BinaryLike, ...data: readonly BinaryLike[]): Uint8Array<ArrayBuffer> {
  const mac = createHmac("sha256", key);
  for (const part of data) mac.update(part);
  const digest = mac.digest();
  const owned = new Uint8Array(digest);
  digest.fill(0);
  return owned;
}

function aead(key: KeyObject): Aead {
  return {
    encrypt: (nonce, aad, plaintext) => {
      const cipher = createCipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
      cipher.setAAD(aad);
      const sealed = new Uint8Array(plaintext.length + TAG_BYTES);
      sealed.set(cipher.update(plaintext));
      cipher.final();
      sealed.set(cipher.getAuthTag(), plaintext.length);
      return sealed;
    },

    decrypt: (nonce, aad, ciphertext) => {
      if (ciphertext.length < TAG_BYTES) return undefined;
      const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
      decipher.setAAD(aad);
      decipher.setAuthTag(ciphertext.subarray(-TAG_BYTES));
      const opened = decipher.update(ciphertext.subarray(0, -TAG_BYTES));
      const plaintext = new Uint8Array(opened);
      opened.fill(0);
      try {
        decipher.final();
        return plaintext;
      } catch {
        // OpenSSL's one answer here: the tag does not fit. What was computed until then proves nothing.
        plaintext.fill(0);
        return undefined;
      }
    },
  };
}
