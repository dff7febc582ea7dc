import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from "node:crypto";

import type { Aead, Primitives } from "../envelope/primitives.ts";

const KEY_BYTES = 32;
const TAG_BYTES = 16;

/** By node:crypto, on the calling thread: a few hundred bytes take less time than another thread takes to wake. */
export const nodePrimitives: Primitives = {
  sha256: (data) => new Uint8Array(createHash("sha256").update(data).digest()),

  hkdf: (secret, salt, info) => new Uint8Array(hkdfSync("sha256", secret, salt, info, KEY_BYTES)),

  hkdfAead: (secret, salt, info) => {
    const bytes = new Uint8Array(hkdfSync("sha256", secret, salt, info, KEY_BYTES));
    const key = createSecretKey(bytes);
    bytes.fill(0);
    return aead(key);
  },
};

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
