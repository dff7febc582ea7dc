import type * as AwsKms from "@aws-sdk/client-kms";

import { fromAwsError } from "./aws-error.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "./key-provider.ts";
import type { AwsSession } from "./identity/aws.ts";
import { untilAborted } from "./until-aborted.ts";
import { assertWrappable } from "./wrappable.ts";

export interface AwsProviderOptions {
  /** A symmetric key's ARN; the region is read from it. */
  readonly keyArn: string;
  /** Another endpoint than the region's own. */
  readonly endpoint?: string | undefined;
  /** Without them the SDK looks where it always does: environment, profile, web identity, container, instance. */
  readonly credentials?: AwsKms.KMSClientConfig["credentials"];
  /**
   * Instead of them: a role's temporary credentials, asked for before each call, from memory where it can. The SDK,
   * left to ask by itself, would wait for ever for an answer that on Workers went with the request that had asked.
   */
  readonly session?: ((signal: AbortSignal) => Promise<AwsSession>) | undefined;
}

/**
 * What Encrypt answers for 32 bytes: 58 bytes of header and a CMS EnvelopedData of 126, whose lengths depend on the
 * plaintext's alone. Recorded from the real service: the data keys in public SOPS files, which are exactly that call.
 */
const RECORDED_WRAP_BYTES = 184;
/** The most that Decrypt takes (its API reference). */
const MAX_DECRYPT_BYTES = 6144;
/** As many calls as a member may have under way, so that they never wait for a socket; the SDK's default is 50. */
const MAX_SOCKETS = 64;
/** 64 hexadecimal digits (its API reference), and some room. */
const MATERIAL = /^[\x21-\x7e]{1,128}$/;
/** Keys in other states refuse Encrypt and Decrypt. */
const USABLE_STATES: ReadonlySet<string> = new Set(["Enabled", "Updating"]);

/**
 * A symmetric key in AWS KMS, reached with the AWS SDK, which is loaded on first use. One attempt a call: retrying
 * is the caller's. `requestId` stays here: KMS takes no id of ours, its own comes back as `cloudRequestId`.
 * Needs kms:Encrypt, kms:Decrypt and kms:DescribeKey.
 */
export function createAwsProvider(options: AwsProviderOptions): KeyProvider {
  return new AwsProvider(options);
}

interface Described {
  readonly state: string | undefined;
  readonly material: string | undefined;
}

interface Connection {
  readonly sdk: typeof AwsKms;
  readonly client: AwsKms.KMSClient;
}

/** They say that they have expired, so that the SDK asks for the latest at each request: it costs nothing. */
function credentialsOf({ accessKeyId, secretAccessKey, sessionToken }: AwsSession) {
  return { accessKeyId, secretAccessKey, sessionToken, expiration: new Date(0) };
}

class AwsProvider implements KeyProvider {
  readonly symmetric = true;
  readonly needsVersionToUnwrap = false;
  readonly maxWrapBytes = RECORDED_WRAP_BYTES;
  readonly #options: AwsProviderOptions;
  #connection: Promise<Connection> | undefined;
  #session: AwsSession | undefined;
  /** Never changes, so it is asked for once. */
  #creation: string | undefined;
  /** What Decrypt called the material it used last; `null` when it named none. */
  #lastMaterial: string | null | undefined;

  constructor(options: AwsProviderOptions) {
    this.#options = options;
  }

  async wrap(
    plaintext: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
  ): Promise<WrapResult> {
    assertWrappable(plaintext);
    const answer = await this.#send("Encrypt", call, ({ sdk, client }) =>
      client.send(new sdk.EncryptCommand({ ...this.#request(context), Plaintext: plaintext }), {
        abortSignal: call.signal,
      }),
    );
    if (answer.CiphertextBlob === undefined) throw incomplete("Encrypt", answer);
    return { wrap: new Uint8Array(answer.CiphertextBlob), ...requestIdOf(answer) };
  }

  async unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
  ): Promise<UnwrapResult> {
    if (wrap.length < 1 || wrap.length > MAX_DECRYPT_BYTES) {
      throw new ProviderError("InvalidCiphertext", "AWS KMS Decrypt: no wrap has this length");
    }
    const decrypt = ({ sdk, client }: Connection) =>
      client.send(new sdk.DecryptCommand({ ...this.#request(context), CiphertextBlob: wrap }), {
        abortSignal: call.signal,
      });
    const answer = await this.#send("Decrypt", call, decrypt, ({ Plaintext }) => void Plaintext?.fill(0));
    if (answer.Plaintext === undefined) throw incomplete("Decrypt", answer);
    const plaintext = new Uint8Array(answer.Plaintext);
    // The SDK decodes into memory that Node shares among buffers.
    answer.Plaintext.fill(0);
    if (answer.KeyId !== this.#options.keyArn) {
      plaintext.fill(0);
      throw new ProviderError("InvalidCiphertext", "AWS KMS Decrypt: opened by another key");
    }
    const material = materialOf("Decrypt", answer.KeyMaterialId, answer);
    this.#lastMaterial = material ?? null;
    const keyVersion = material ?? (await this.#created(call));
    return { plaintext, keyVersion, ...requestIdOf(answer) };
  }

  /**
   * DescribeKey's id of the current key material; but what Decrypt says decides, since wraps are told apart by it.
   * Keys that cannot rotate (in custom key stores, or with multi-Region imported material) are described without
   * one: their only material is then what Decrypt called it, else the key's creation date.
   */
  async currentVersion(call: ProviderCall): Promise<string> {
    const key = await this.#describe(call);
    if (key.state !== undefined && !USABLE_STATES.has(key.state)) {
      throw new ProviderError("KeyUnavailable", "AWS KMS DescribeKey: the key is not enabled");
    }
    if (this.#lastMaterial === null) return this.#created(call);
    return key.material ?? this.#lastMaterial ?? this.#created(call);
  }

  #request({ kek, cluster }: WrapContext) {
    return {
      KeyId: this.#options.keyArn,
      EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      EncryptionContext: { "kek-broker.dev/kek": kek, "kek-broker.dev/cluster": cluster },
    } as const;
  }

  async #created(call: ProviderCall): Promise<string> {
    if (this.#creation === undefined) await this.#describe(call);
    if (this.#creation === undefined)
      throw new ProviderError("Unavailable", "AWS KMS DescribeKey: no creation date");
    return this.#creation;
  }

  async #describe(call: ProviderCall): Promise<Described> {
    const answer = await this.#send("DescribeKey", call, ({ sdk, client }) =>
      client.send(new sdk.DescribeKeyCommand({ KeyId: this.#options.keyArn }), { abortSignal: call.signal }),
    );
    if (answer.KeyMetadata === undefined) throw incomplete("DescribeKey", answer);
    const { CreationDate: created, CurrentKeyMaterialId, KeyState: state } = answer.KeyMetadata;
    if (created !== undefined) {
      if (Number.isNaN(created.getTime())) throw incomplete("DescribeKey", answer);
      this.#creation = `created-${created.toISOString()}`;
    }
    return { state, material: materialOf("DescribeKey", CurrentKeyMaterialId, answer) };
  }

  async #send<Answer>(
    operation: string,
    { signal }: ProviderCall,
    act: (connection: Connection) => Promise<Answer>,
    late?: (answer: Answer) => void,
  ): Promise<Answer> {
    try {
      signal.throwIfAborted();
      return await untilAborted(signal, this.#answer(signal, act), late);
    } catch (error) {
      if (signal.aborted) throw new ProviderError("Timeout", `AWS KMS ${operation}: ended before an answer`);
      if (error instanceof ProviderError) throw error;
      throw fromAwsError(operation, error);
    }
  }

  async #answer<Answer>(
    signal: AbortSignal,
    act: (connection: Connection) => Promise<Answer>,
  ): Promise<Answer> {
    const session = await this.#options.session?.(signal);
    const connection = await this.#connect();
    if (session !== undefined) this.#session = session;
    return act(connection);
  }

  async #connect(): Promise<Connection> {
    const { session, credentials } = this.#options;
    const latest = () => {
      if (this.#session === undefined) throw new TypeError("no session was asked for");
      return Promise.resolve(credentialsOf(this.#session));
    };
    this.#connection ??= connect(this.#options, session === undefined ? credentials : latest);
    try {
      return await this.#connection;
    } catch (error) {
      this.#connection = undefined;
      throw error;
    }
  }
}

async function connect(
  { keyArn, endpoint }: AwsProviderOptions,
  credentials: AwsProviderOptions["credentials"],
): Promise<Connection> {
  const sdk = await import("@aws-sdk/client-kms");
  const sockets = { maxSockets: MAX_SOCKETS };
  const client = new sdk.KMSClient({
    region: regionOf(keyArn),
    maxAttempts: 1,
    requestHandler: { httpAgent: sockets, httpsAgent: sockets },
    ...(endpoint !== undefined && { endpoint }),
    ...(credentials !== undefined && { credentials }),
  });
  return { sdk, client };
}

/** `arn:PARTITION:kms:REGION:ACCOUNT:key/ID`; the configuration has checked it. */
export function regionOf(keyArn: string): string {
  const region = keyArn.split(":")[3];
  if (region === undefined || region === "") throw new TypeError("not the ARN of a key");
  return region;
}

/** The SDK takes for a text whatever the answer holds. One of any length would break what is made for all members. */
function materialOf(operation: string, id: string | undefined, answer: Answered): string | undefined {
  if (id === undefined || (typeof id === "string" && MATERIAL.test(id))) return id;
  throw incomplete(operation, answer);
}

interface Answered {
  readonly $metadata: { readonly requestId?: string | undefined };
}

function requestIdOf({ $metadata: { requestId } }: Answered) {
  return requestId === undefined ? {} : { cloudRequestId: requestId };
}

function incomplete(operation: string, answer: Answered): ProviderError {
  return new ProviderError("Unavailable", `AWS KMS ${operation}: an incomplete answer`, requestIdOf(answer));
}
