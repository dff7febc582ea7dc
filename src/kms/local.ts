import { decodeBase64 } from "../wire/base64.ts";
import { sha256Hex } from "../wire/hex.ts";
import { lengthPrefixed, utf8 } from "../wire/length-prefixed.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "./key-provider.ts";
import { assertWrappable } from "./wrappable.ts";

/** As the configuration holds it: a key beside the data it guards, so for development and tests only. */
export interface LocalProviderOptions {
  readonly keys: readonly { readonly version: string; /** 32 bytes, base64. */ readonly key: string }[];
  /** The version that wraps. */
  readonly primary: string;
}

/** Fills the bytes with randomness fit for a nonce. */
export type FillRandom = (bytes: Uint8Array<ArrayBuffer>) => unknown;

/** 2^32 wraps under one key keep random nonces of this length apart (SP 800-38D §8.3). */
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const KEY_BYTES = 32;
const FINGERPRINT_CHARACTERS = 8;
/** The size `maxWrapBytes` speaks of. */
const REFERENCE_PLAINTEXT_BYTES = 32;

interface LocalKey {
  readonly key: Awaited<ReturnType<typeof crypto.subtle.importKey>>;
  /** Another key under the same version name is another key version, and so another key_id. */
  readonly keyVersion: string;
}

/**
 * AES-256-GCM under keys from the configuration. A wrap is: length of the version's name (1 byte), the name,
 * 12-byte nonce, ciphertext with its 16-byte tag. A wrap of a version that is not configured is `InvalidCiphertext`:
 * whoever writes a wrap writes the version, so it must not pass for unavailability and lead to another member.
 *
 * Throws a TypeError for keys that are not 32 bytes, duplicate or unusable version names, or an unknown primary.
 */
export function createLocalProvider(
  options: LocalProviderOptions,
  fillRandom: FillRandom = (bytes) => crypto.getRandomValues(bytes),
): KeyProvider {
  return new LocalProvider(options, fillRandom);
}

class LocalProvider implements KeyProvider {
  readonly symmetric = true;
  readonly needsVersionToUnwrap = false;
  readonly maxWrapBytes: number;
  readonly #primary: string;
  readonly #secrets: ReadonlyMap<string, Uint8Array<ArrayBuffer>>;
  readonly #keys = new Map<string, Promise<LocalKey>>();
  readonly #fillRandom: FillRandom;

  constructor(options: LocalProviderOptions, fillRandom: FillRandom) {
    this.#secrets = readKeys(options);
    this.#primary = options.primary;
    this.#fillRandom = fillRandom;
    const longestName = Math.max(...[...this.#secrets.keys()].map((version) => utf8(version).length));
    this.maxWrapBytes = 1 + longestName + NONCE_BYTES + REFERENCE_PLAINTEXT_BYTES + TAG_BYTES;
  }

  async wrap(
    plaintext: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    { signal }: ProviderCall,
  ): Promise<WrapResult> {
    assertWrappable(plaintext);
    assertLive(signal);
    const { key } = await this.#key(this.#primary);
    const nonce = new Uint8Array(NONCE_BYTES);
    this.#fillRandom(nonce);
    const sealed = await crypto.subtle.encrypt(
      { name: "AES-GCM", iv: nonce, additionalData: aadV1(this.#primary, context) },
      key,
      plaintext,
    );
    const version = utf8(this.#primary);
    return { wrap: concat(Uint8Array.of(version.length), version, nonce, new Uint8Array(sealed)) };
  }

  async unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    { signal }: ProviderCall,
  ): Promise<UnwrapResult> {
    assertLive(signal);
    const { version, nonce, sealed } = parse(wrap);
    const { key, keyVersion } = await this.#key(version);
    const algorithm = { name: "AES-GCM", iv: nonce, additionalData: aadV1(version, context) };
    const plaintext = await crypto.subtle.decrypt(algorithm, key, sealed).catch(() => {
      throw new ProviderError(
        "InvalidCiphertext",
        "local: the wrap does not open under this key and context",
      );
    });
    return { plaintext: new Uint8Array(plaintext), keyVersion };
  }

  async currentVersion({ signal }: ProviderCall): Promise<string> {
    assertLive(signal);
    return (await this.#key(this.#primary)).keyVersion;
  }

  /** Imported on first use: Workers allow no such work while a module loads. */
  async #key(version: string): Promise<LocalKey> {
    const secret = this.#secrets.get(version);
    if (secret === undefined) {
      throw new ProviderError("InvalidCiphertext", "local: this version of the key is not configured");
    }
    const known = this.#keys.get(version) ?? importKey(version, secret);
    this.#keys.set(version, known);
    return known;
  }
}

function assertLive(signal: AbortSignal): void {
  if (signal.aborted) throw new ProviderError("Timeout", "local: the call had ended before it began");
}

function readKeys({ keys, primary }: LocalProviderOptions): Map<string, Uint8Array<ArrayBuffer>> {
  const secrets = new Map<string, Uint8Array<ArrayBuffer>>();
  for (const { version, key } of keys) {
    const secret = decodeBase64(key);
    if (secret?.length !== KEY_BYTES) throw new TypeError(`local key ${version} is not 32 bytes in base64`);
    const length = utf8(version).length;
    if (length < 1 || length > 255) throw new TypeError("a local key's version takes 1 to 255 bytes");
    if (secrets.has(version)) throw new TypeError(`local key ${version} is given twice`);
    secrets.set(version, secret);
  }
  if (!secrets.has(primary)) throw new TypeError(`the primary ${primary} is not among the local keys`);
  return secrets;
}

async function importKey(version: string, secret: Uint8Array<ArrayBuffer>): Promise<LocalKey> {
  const key = await crypto.subtle.importKey("raw", secret, "AES-GCM", false, ["encrypt", "decrypt"]);
  const fingerprint = await sha256Hex(concat(fingerprintLabelV1(), secret));
  return { key, keyVersion: `${version}-${fingerprint.slice(0, FINGERPRINT_CHARACTERS)}` };
}

function parse(wrap: Uint8Array<ArrayBuffer>) {
  const nameEnd = 1 + (wrap[0] ?? 0);
  const nonceEnd = nameEnd + NONCE_BYTES;
  if (nameEnd === 1 || wrap.length < nonceEnd + TAG_BYTES) throw malformed();
  return {
    version: decodeName(wrap.subarray(1, nameEnd)),
    nonce: wrap.subarray(nameEnd, nonceEnd),
    sealed: wrap.subarray(nonceEnd),
  };
}

function decodeName(bytes: Uint8Array): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw malformed();
  }
}

function malformed(): ProviderError {
  return new ProviderError("InvalidCiphertext", "local: not a wrap of this provider");
}

/** Every field behind its length, so that no two contexts give the same bytes. */
function aadV1(version: string, { kek, cluster }: WrapContext): Uint8Array<ArrayBuffer> {
  return concat(...["kek-broker/local/v1", version, kek, cluster].map(lengthPrefixed));
}

function fingerprintLabelV1(): Uint8Array<ArrayBuffer> {
  return lengthPrefixed("kek-broker/local/v1/key-version");
}

function concat(...parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
