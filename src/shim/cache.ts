import { createHash, timingSafeEqual } from "node:crypto";
import { LRUCache } from "lru-cache";

/** 8,192 seeds of 32 bytes: more than an apiserver has, at most 2 MiB. */
const MAX_ENTRIES = 8_192;

/** Unwrapped DEKs by the hash of what they were wrapped as. Its buffers are its own, and zeroed when they go. */
export class DekCache {
  readonly #entries: LRUCache<string, Uint8Array>;

  constructor(maxEntries = MAX_ENTRIES) {
    this.#entries = new LRUCache({
      max: maxEntries,
      dispose: (dek) => {
        dek.fill(0);
      },
    });
  }

  get size(): number {
    return this.#entries.size;
  }

  /** A copy, the caller's to zero. */
  get(key: string): Uint8Array<ArrayBuffer> | undefined {
    const dek = this.#entries.get(key);
    return dek === undefined ? undefined : copyOf(dek);
  }

  /**
   * Keeps a copy. What is there is never replaced.
   * @returns false if another DEK is there: two things cannot have been wrapped as the same
   */
  set(key: string, dek: Uint8Array): boolean {
    const present = this.#entries.peek(key);
    if (present !== undefined) return present.length === dek.length && timingSafeEqual(present, dek);
    this.#entries.set(key, copyOf(dek));
    return true;
  }

  clear(): void {
    this.#entries.clear();
  }
}

/** Bytes of our own, outside Node's shared pool: zeroing them zeroes all of them and nothing else. */
export function copyOf(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(bytes);
}

/** SHA-256 over length-prefixed parts: no two lists of parts share a key. */
export function cacheKey(...parts: readonly Uint8Array[]): string {
  const hash = createHash("sha256");
  for (const part of parts) {
    const length = Buffer.alloc(4);
    length.writeUInt32BE(part.length);
    hash.update(length).update(part);
  }
  return hash.digest("base64");
}
