import type { TokenCredential } from "@azure/core-auth";
import type * as AzureKeys from "@azure/keyvault-keys";
import * as z from "zod";

import { AzureClients } from "./azure-clients.ts";
import { type AzureOperation, fromAzureError, type VaultAnswer } from "./azure-error.ts";
import { type AzureAlgorithm, type AzureKeyName, VaultKey, versionOf } from "./azure-key.ts";
import { HeldToken } from "./azure-token.ts";
import { type ProviderCall, ProviderError } from "./key-provider.ts";
import { timedOut, untilAborted } from "./until-aborted.ts";

export interface AzureVaultOptions {
  readonly key: AzureKeyName;
  readonly algorithm: AzureAlgorithm;
  readonly credential: TokenCredential;
  readonly anyHost: boolean;
  readonly now: () => number;
}

/** What one operation of the vault came to, and its own id of it. */
export interface Done<T> {
  readonly result: T;
  /** 32 hexadecimal digits, from the answer. */
  readonly version: string;
  readonly ids: { readonly cloudRequestId?: string };
}

interface Connection {
  readonly token: HeldToken;
  readonly clients: AzureClients;
}

interface Attempt<T> {
  readonly operation: AzureOperation;
  readonly call: ProviderCall;
  readonly act: (clients: AzureClients, options: AzureKeys.CryptographyOptions) => Promise<T>;
  /** Gets an answer that comes when nobody waits for it any more. */
  readonly late?: (answer: T) => void;
}

/** How far a request came. */
interface Seen {
  connection?: Connection;
  answer?: VaultAnswer;
  isTooLong: boolean;
}

/** Keys and results take two thousand bytes; an answer that goes on beyond this is not read to its end. */
const MAX_ANSWER_BYTES = 65_536;

const OperationBody = z.object({ kid: z.string() });

/**
 * One key in a vault, over the SDK: a request, an answer that is about this key, or a ProviderError. Reads which
 * version it was from the answer itself, since the SDK tells the one that its client was made for.
 */
export class AzureVault {
  readonly #options: AzureVaultOptions;
  #connection: Promise<Connection> | undefined;

  constructor(options: AzureVaultOptions) {
    this.#options = options;
  }

  /** The latest version's attributes and public part. */
  async getKey(call: ProviderCall): Promise<Done<VaultKey>> {
    const { name } = this.#options.key;
    const act: Attempt<unknown>["act"] = ({ keys }, options) => keys.getKey(name, options);
    const { result: answered, ids } = await this.#send({ operation: "get key", call, act });
    const result = VaultKey.safeParse(answered).data;
    if (result === undefined) throw incomplete("get key", ids);
    return { result, ids, version: this.#versionOf("get key", result.id, ids) };
  }

  /** By the latest version. */
  wrapKey(payload: Uint8Array, call: ProviderCall): Promise<Done<Uint8Array<ArrayBuffer>>> {
    const { algorithm } = this.#options;
    return this.#operate("wrapKey", call, (clients, options) =>
      clients.ofVersion("").wrapKey(algorithm, payload, options),
    );
  }

  /** The result is the caller's to zero. */
  async unwrapKey(
    wrap: Uint8Array,
    version: string,
    call: ProviderCall,
  ): Promise<Done<Uint8Array<ArrayBuffer>>> {
    const { algorithm } = this.#options;
    const done = await this.#operate("unwrapKey", call, (clients, options) =>
      clients.ofVersion(version).unwrapKey(algorithm, wrap, options),
    ).catch(async (error: unknown) => {
      // Envelopes may name versions that are not there.
      if (error instanceof ProviderError && error.code === "KeyUnavailable")
        await this.#forgetVersion(version);
      throw error;
    });
    if (done.version !== version) {
      done.result.fill(0);
      throw incomplete("unwrapKey", done.ids);
    }
    return done;
  }

  async #operate(
    operation: AzureOperation,
    call: ProviderCall,
    act: Attempt<{ readonly result: unknown }>["act"],
  ): Promise<Done<Uint8Array<ArrayBuffer>>> {
    const late = ({ result }: { readonly result: unknown }): void => {
      if (result instanceof Uint8Array) result.fill(0);
    };
    const { result: answered, ids, body } = await this.#send({ operation, call, act, late });
    // Of an empty or missing value the SDK makes an empty text or nothing.
    if (!(answered.result instanceof Uint8Array)) throw incomplete(operation, ids);
    const result = new Uint8Array(answered.result);
    // The SDK decodes into memory that Node shares among buffers.
    answered.result.fill(0);
    const kid = OperationBody.safeParse(body).data?.kid;
    return { result, ids, version: this.#versionOf(operation, kid, ids) };
  }

  #versionOf(operation: AzureOperation, kid: string | undefined, ids: Done<never>["ids"]): string {
    const { key, anyHost } = this.#options;
    const version = kid === undefined ? undefined : versionOf(kid, key, anyHost);
    if (version === undefined) throw incomplete(operation, ids);
    return version;
  }

  /** One request, whose answer's parts are noted as the SDK hands them out, also when it then throws. */
  async #send<T>({ operation, call, act, late }: Attempt<T>) {
    if (call.signal.aborted) throw timedOut();
    const ended = new AbortController();
    const end = () => ended.abort();
    call.signal.addEventListener("abort", end, { once: true });
    const seen: Seen = { isTooLong: false };
    const options: AzureKeys.CryptographyOptions = {
      abortSignal: ended.signal,
      requestOptions: {
        headers: { "x-ms-client-request-id": call.requestId },
        onDownloadProgress({ loadedBytes }) {
          if (loadedBytes <= MAX_ANSWER_BYTES) return;
          seen.isTooLong = true;
          end();
        },
      },
      onResponse({ status, headers, parsedBody }) {
        seen.answer = { status, requestId: headers.get("x-ms-request-id"), body: parsedBody };
      },
    };
    try {
      seen.connection = await untilAborted(ended.signal, this.#connect());
      const result = await untilAborted(ended.signal, act(seen.connection.clients, options), late);
      return { result, ids: idsOf(seen.answer), body: seen.answer?.body };
    } catch (error) {
      if (call.signal.aborted) throw this.#late(operation, seen);
      if (seen.isTooLong) throw incomplete(operation, {});
      if (seen.answer?.status === 401) seen.connection?.token.forget();
      throw fromAzureError(operation, error, seen.answer);
    } finally {
      call.signal.removeEventListener("abort", end);
    }
  }

  #late(operation: AzureOperation, { connection }: Seen): ProviderError {
    // The SDK lets later requests wait for the token that this one asked for, however long that takes.
    if (connection?.token.isAsking === true) this.#connection = undefined;
    return new ProviderError("Timeout", `Azure Key Vault ${operation}: ended before an answer`);
  }

  async #forgetVersion(version: string): Promise<void> {
    (await this.#connection)?.clients.forget(version);
  }

  async #connect(): Promise<Connection> {
    this.#connection ??= connect(this.#options);
    try {
      return await this.#connection;
    } catch {
      this.#connection = undefined;
      throw new ProviderError("Unavailable", "Azure Key Vault: its SDK could not be loaded");
    }
  }
}

async function connect({ key, credential, anyHost, now }: AzureVaultOptions): Promise<Connection> {
  const sdk = await import("@azure/keyvault-keys");
  const token = new HeldToken(credential, now);
  return { token, clients: new AzureClients(sdk, key, token, anyHost) };
}

function idsOf(answer: VaultAnswer | undefined): Done<never>["ids"] {
  return answer?.requestId === undefined ? {} : { cloudRequestId: answer.requestId };
}

function incomplete(operation: AzureOperation, ids: Done<never>["ids"]): ProviderError {
  return new ProviderError("Unavailable", `Azure Key Vault ${operation}: an incomplete answer`, ids);
}
