import type { TokenCredential } from "@azure/core-auth";

import { hex } from "../wire/hex.ts";
import { KeyMissing } from "./azure-error.ts";
import {
  type AzureAlgorithm,
  type AzureBits,
  parseKeyUrl,
  unusableBecause,
  VERSION_BYTES,
  versionBytes,
} from "./azure-key.ts";
import { type Block, makePayload, payloadBytes, readPayload } from "./azure-payload.ts";
import { AzureVault } from "./azure-vault.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "./key-provider.ts";
import { timedOut } from "./until-aborted.ts";
import { assertWrappable, MAX_WRAPPABLE_BYTES } from "./wrappable.ts";

export interface AzureProviderOptions {
  /** `https://HOST/keys/NAME`: no version, so that new wraps follow the latest. */
  readonly keyUrl: string;
  /** A256KW for a symmetric key in a Managed HSM. */
  readonly algorithm: AzureAlgorithm;
  /** Of an RSA key's modulus; means nothing for A256KW. */
  readonly bits: AzureBits;
  readonly credential: TokenCredential;
  /** Also takes a vault whose challenge or key ids name another host than its address: for emulators alone. */
  readonly anyHost?: boolean | undefined;
  /** Milliseconds since the epoch. */
  readonly now?: (() => number) | undefined;
}

/** RFC 3394 adds one block to what it wraps. */
const KW_BYTES = 8;
/** W. */
const USUAL_BYTES = 32;
const MODULUS_BYTES: ReadonlySet<number> = new Set([256, 384, 512]);

/**
 * A key in Azure Key Vault or Managed HSM, reached with Microsoft's SDK, which is loaded on first use. One attempt a
 * call (the vault's challenge comes before a client's first): retrying is the caller's. Key Vault has no context to
 * bind, so it goes into what is wrapped (azure-payload.ts). RSA too is wrapped by the vault, so that its log shows it.
 * Needs keys/get (for `currentVersion`), keys/wrapKey and keys/unwrapKey.
 * @throws TypeError for a key URL that is none.
 */
export function createAzureProvider(options: AzureProviderOptions): KeyProvider {
  return new AzureProvider(options);
}

class AzureProvider implements KeyProvider {
  readonly symmetric: boolean;
  readonly needsVersionToUnwrap = true;
  readonly maxWrapBytes: number;
  readonly #options: AzureProviderOptions;
  readonly #block: Block;
  readonly #now: () => number;
  readonly #vault: AzureVault;

  constructor(options: AzureProviderOptions) {
    const { keyUrl, algorithm, credential, anyHost = false, now = () => Date.now() } = options;
    this.symmetric = algorithm === "A256KW";
    this.#block = this.symmetric ? 8 : 1;
    this.#options = options;
    this.#now = now;
    this.#vault = new AzureVault({ key: parseKeyUrl(keyUrl), algorithm, credential, anyHost, now });
    this.maxWrapBytes = this.#wrapBytes(USUAL_BYTES);
  }

  async wrap(
    plaintext: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
  ): Promise<WrapResult> {
    assertWrappable(plaintext);
    if (call.signal.aborted) throw timedOut();
    const payload = await makePayload(plaintext, context, this.#block);
    try {
      const { result: wrap, version, ids } = await this.#vault.wrapKey(payload, call);
      if (wrap.length !== this.#wrapBytes(plaintext.length)) {
        throw new ProviderError(
          "KeyUnavailable",
          "Azure Key Vault wrapKey: not the configured size (bits)",
          ids,
        );
      }
      return { wrap, openVersion: versionBytes(version), keyVersion: version, ...ids };
    } finally {
      payload.fill(0);
    }
  }

  async unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
    openVersion?: Uint8Array<ArrayBuffer>,
  ): Promise<UnwrapResult> {
    if (call.signal.aborted) throw timedOut();
    if (openVersion?.length !== VERSION_BYTES || !this.#isWrapBytes(wrap.length)) {
      throw new ProviderError("InvalidCiphertext", "Azure Key Vault unwrapKey: no wrap has this form");
    }
    const { result: payload, version, ids } = await this.#unwrapKey(wrap, hex(openVersion), call);
    try {
      const plaintext = await readPayload(payload, context, this.#block);
      if (plaintext !== undefined) return { plaintext, keyVersion: version, ...ids };
      throw new ProviderError(
        "InvalidCiphertext",
        "Azure Key Vault unwrapKey: made for another context",
        ids,
      );
    } finally {
      payload.fill(0);
    }
  }

  async currentVersion(call: ProviderCall): Promise<string> {
    const { result: key, version, ids } = await this.#vault.getKey(call);
    const why = unusableBecause(key, this.#options, this.#now());
    if (why === undefined) return version;
    throw new ProviderError("KeyUnavailable", `Azure Key Vault get key: ${why}`, ids);
  }

  #wrapBytes(plaintextBytes: number): number {
    return this.symmetric ? payloadBytes(plaintextBytes, this.#block) + KW_BYTES : this.#options.bits / 8;
  }

  /** Of any version: an older one of RSA may have had another size. */
  #isWrapBytes(length: number): boolean {
    if (!this.symmetric) return MODULUS_BYTES.has(length);
    const [least, most] = [this.#wrapBytes(1), this.#wrapBytes(MAX_WRAPPABLE_BYTES)];
    return length >= least && length <= most && length % KW_BYTES === 0;
  }

  async #unwrapKey(wrap: Uint8Array, version: string, call: ProviderCall) {
    try {
      return await this.#vault.unwrapKey(wrap, version, call);
    } catch (error) {
      throw this.symmetric && error instanceof KeyMissing ? await this.#whatIsMissing(error, call) : error;
    }
  }

  /**
   * The vault says the same of a key that is not there as of a version that is not. Who can write envelopes can name
   * any version, and must not make a symmetric key look away, since that leads to members whose wraps anyone can
   * make. A version is deleted with its key alone; so one that a key lacks was never its, or was another key's.
   */
  async #whatIsMissing(missing: KeyMissing, call: ProviderCall): Promise<unknown> {
    try {
      await this.#vault.getKey(call);
    } catch (error) {
      // Any other answer is none to this question, and a vault can be kept too busy for one.
      if (error instanceof KeyMissing) return missing;
    }
    return new ProviderError("Refused", "Azure Key Vault unwrapKey: the key has no such version");
  }
}
