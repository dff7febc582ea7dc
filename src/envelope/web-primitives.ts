import type { Aead, Primitives } from "./primitives.ts";

type Bytes = Uint8Array<ArrayBuffer>;
type WebKey = Awaited<ReturnType<typeof crypto.subtle.importKey>>;

/** By Web Crypto. Its keys' bytes never enter the JavaScript heap. */
export const webPrimitives: Primitives = {
  sha256: async (data) => new Uint8Array(await crypto.subtle.digest("SHA-256", data)),

  hkdf: async (secret, salt, info) => {
    const ikm = await crypto.subtle.importKey("raw", secret, "HKDF", false, ["deriveKey", "deriveBits"]);
    // In one call it extracts and expands, so the same is extracted twice.
    const hkdf = (label: Bytes) => ({ name: "HKDF", hash: "SHA-256", salt, info: label });
    const aes = { name: "AES-GCM", length: 256 };
    const [key, bytes] = await Promise.all([
      crypto.subtle.deriveKey(hkdf(info.aead), ikm, aes, false, ["encrypt", "decrypt"]),
      crypto.subtle.deriveBits(hkdf(info.bytes), ikm, 256),
    ]);
    return { aead: aead(key), bytes: new Uint8Array(bytes) };
  },
};

function aead(key: WebKey): Aead {
  const gcm = (iv: Bytes, additionalData: Bytes) => ({
    name: "AES-GCM",
    iv,
    additionalData,
    tagLength: 128,
  });
  return {
    encrypt: async (nonce, aad, plaintext) =>
      new Uint8Array(await crypto.subtle.encrypt(gcm(nonce, aad), key, plaintext)),

    decrypt: async (nonce, aad, ciphertext) => {
      try {
        return new Uint8Array(await crypto.subtle.decrypt(gcm(nonce, aad), key, ciphertext));
      } catch (error) {
        // Web Crypto's one answer to a bad tag; anything else is a defect of ours.
        if (error instanceof Error && error.name === "OperationError") return undefined;
        throw error;
      }
    },
  };
}
