type Bytes = Uint8Array<ArrayBuffer>;

/**
 * The cryptography of an envelope, as a runtime has it. Web Crypto is everywhere, but hands each call to another
 * thread, which takes ten times as long as the work; a runtime that can do it in place answers at once.
 */
export interface Primitives {
  sha256(data: Bytes): Bytes | Promise<Bytes>;
  /** HKDF-SHA-256 (RFC 5869): extracts once, expands for each of the two. */
  hkdf(secret: Bytes, salt: Bytes, info: HkdfInfo): Expanded | Promise<Expanded>;
}

interface HkdfInfo {
  readonly aead: Bytes;
  readonly bytes: Bytes;
}

interface Expanded {
  /** Under 32 bytes, which stay inside. */
  readonly aead: Aead;
  /** 32. */
  readonly bytes: Bytes;
}

/** AES-256-GCM (SP 800-38D) with one key, a nonce of 12 bytes and a tag of 16. */
export interface Aead {
  /** The ciphertext, the tag at its end. */
  encrypt(nonce: Bytes, aad: Bytes, plaintext: Bytes): Bytes | Promise<Bytes>;
  /** The plaintext, or `undefined` when tag and additional data do not fit. */
  decrypt(nonce: Bytes, aad: Bytes, ciphertext: Bytes): Bytes | undefined | Promise<Bytes | undefined>;
}
