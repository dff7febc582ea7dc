import { crc32c } from "@aws-crypto/crc32c";

import { lengthPrefixed } from "../wire/length-prefixed.ts";
import type { GoogleKms } from "./google-kms.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "./key-provider.ts";
import { assertWrappable } from "./wrappable.ts";

export interface GcpProviderOptions {
  /** `projects/P/locations/L/keyRings/R/cryptoKeys/K`: a symmetric key, purpose ENCRYPT_DECRYPT. */
  readonly cryptoKey: string;
  readonly transport: GoogleKms;
}

/** What Encrypt answers for 32 bytes: recorded from the real service (test/vectors/wrap-lengths.json). */
const RECORDED_WRAP_BYTES = 114;

/**
 * A symmetric key in Google Cloud KMS. Sums of what is sent and received are checked at both ends, as Google's data
 * integrity guidelines ask: a sum that is wrong or was not looked at is `Unavailable`, and worth another try.
 * A version is the number of a CryptoKeyVersion; Decrypt does not say which it used.
 * Needs cloudkms.cryptoKeyVersions.useToEncrypt and useToDecrypt, and cloudkms.cryptoKeys.get.
 */
export function createGcpProvider(options: GcpProviderOptions): KeyProvider {
  return new GcpProvider(options);
}

class GcpProvider implements KeyProvider {
  readonly symmetric = true;
  readonly needsVersionToUnwrap = false;
  readonly maxWrapBytes = RECORDED_WRAP_BYTES;
  readonly #cryptoKey: string;
  readonly #transport: GoogleKms;

  constructor({ cryptoKey, transport }: GcpProviderOptions) {
    this.#cryptoKey = cryptoKey;
    this.#transport = transport;
  }

  async wrap(
    plaintext: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
  ): Promise<WrapResult> {
    assertWrappable(plaintext);
    const answer = await this.#transport.encrypt(
      { ...this.#request(context), plaintext, plaintextCrc32c: crc32c(plaintext) },
      call,
    );
    if (!answer.verifiedPlaintextCrc32c || !answer.verifiedAdditionalAuthenticatedDataCrc32c) {
      throw unavailable("Encrypt", "a checksum of the request was not verified");
    }
    if (crc32c(answer.ciphertext) !== answer.ciphertextCrc32c) {
      throw unavailable("Encrypt", "the answer's checksum is wrong");
    }
    const keyVersion = this.#versionIn(answer.name);
    if (keyVersion === undefined) throw unavailable("Encrypt", "answered for another key");
    return { wrap: answer.ciphertext, keyVersion };
  }

  async unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
  ): Promise<UnwrapResult> {
    if (wrap.length === 0) throw new ProviderError("InvalidCiphertext", "Google Cloud KMS Decrypt: no bytes");
    const answer = await this.#transport.decrypt(
      { ...this.#request(context), ciphertext: wrap, ciphertextCrc32c: crc32c(wrap) },
      call,
    );
    if (crc32c(answer.plaintext) !== answer.plaintextCrc32c) {
      answer.plaintext.fill(0);
      throw unavailable("Decrypt", "the answer's checksum is wrong");
    }
    return { plaintext: answer.plaintext };
  }

  async currentVersion(call: ProviderCall): Promise<string> {
    const { name, purpose, primary } = await this.#transport.getCryptoKey(this.#cryptoKey, call);
    if (!isSameKey(name, this.#cryptoKey)) throw unavailable("GetCryptoKey", "answered for another key");
    if (purpose !== "ENCRYPT_DECRYPT") throw unusable("the key's purpose is not ENCRYPT_DECRYPT");
    if (!primary) throw unusable("the key has no primary version");
    const version = this.#versionIn(primary.name);
    if (version === undefined) throw unavailable("GetCryptoKey", "a primary version of another key");
    if (primary.state !== "ENABLED") throw unusable("the key's primary version is not enabled");
    return version;
  }

  #request(context: WrapContext) {
    const additionalAuthenticatedData = aadV1(context);
    return {
      name: this.#cryptoKey,
      additionalAuthenticatedData,
      additionalAuthenticatedDataCrc32c: crc32c(additionalAuthenticatedData),
    };
  }

  /** The number in a version's name, if it is a version of this key. */
  #versionIn(name: string): string | undefined {
    const [, key, version] = /^(.+)\/cryptoKeyVersions\/([1-9][0-9]{0,18})$/.exec(name) ?? [];
    return key !== undefined && isSameKey(key, this.#cryptoKey) ? version : undefined;
  }
}

/** Google knows a project by its id and by its number, and may answer with the one that was not asked with. */
function isSameKey(answered: string, asked: string): boolean {
  if (answered === asked) return true;
  const [mine, other] = [projectOf(asked), projectOf(answered)];
  return mine.rest !== undefined && mine.rest === other.rest && mine.isNumber !== other.isNumber;
}

function projectOf(name: string) {
  const [, project = "", rest] = /^projects\/([^/]+)(\/.+)$/.exec(name) ?? [];
  return { isNumber: /^[0-9]+$/.test(project), rest };
}

/** Every field behind its length, so that no two contexts give the same bytes. */
function aadV1({ kek, cluster }: WrapContext): Uint8Array<ArrayBuffer> {
  const fields = ["kek-broker/gcp-kms/v1", kek, cluster].map(lengthPrefixed);
  return new Uint8Array(fields.flatMap((field) => [...field]));
}

function unavailable(operation: string, what: string): ProviderError {
  return new ProviderError("Unavailable", `Google Cloud KMS ${operation}: ${what}`);
}

function unusable(what: string): ProviderError {
  return new ProviderError("KeyUnavailable", `Google Cloud KMS GetCryptoKey: ${what}`);
}
