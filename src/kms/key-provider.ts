/**
 * One named key in one cloud, as the broker uses it: the seam between the envelope and the clouds. A provider
 * holds no key material of the caller between calls.
 */
export interface KeyProvider {
  /** Whether a wrap also proves authenticity. RSA wrapping needs only the public key, so it does not. */
  readonly symmetric: boolean;
  /** The most bytes a wrap of 32 bytes may take, recorded from the real service (see docs/envelope.md). */
  readonly maxWrapBytes: number;
  /** Whether `unwrap` must be told the version that wrapped; if so `wrap` returns `openVersion`. */
  readonly needsVersionToUnwrap: boolean;

  /**
   * Wraps 1 to `MAX_WRAPPABLE_BYTES` under the key's newest version.
   * @throws ProviderError, never the cloud's own error; RangeError for any other length, the caller's mistake.
   */
  wrap(plaintext: Uint8Array<ArrayBuffer>, context: WrapContext, call: ProviderCall): Promise<WrapResult>;

  /**
   * Unwraps, and says which version it was if the cloud does.
   * @throws ProviderError `InvalidCiphertext` only when this key and context can never open it.
   */
  unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
    openVersion?: Uint8Array<ArrayBuffer>,
  ): Promise<UnwrapResult>;

  /** The version that new wraps would use, as the cloud reports it now: an opaque, never empty text. */
  currentVersion(call: ProviderCall): Promise<string>;
}

/**
 * Bound to the wrap: by the cloud where it can (AWS encryption context, Google AAD), else by the provider, within what
 * it has wrapped. A wrap opens only under the same one.
 */
export interface WrapContext {
  readonly kek: string;
  /** The cluster's `id`, not its map key. */
  readonly cluster: string;
}

export interface ProviderCall {
  /** Ends the call at its deadline. */
  readonly signal: AbortSignal;
  /** Reaches the cloud where the cloud takes it. */
  readonly requestId: string;
  /** Told of an attempt that failed and is made again: the cloud may have done and logged it. */
  readonly onRetry?: (failed: ProviderError) => void;
}

export interface WrapResult {
  readonly wrap: Uint8Array<ArrayBuffer>;
  /** 16 bytes, present exactly if `needsVersionToUnwrap`. */
  readonly openVersion?: Uint8Array<ArrayBuffer>;
  /** The version that wrapped, in the same form as `currentVersion`, where the cloud says so. */
  readonly keyVersion?: string;
  /** The cloud's own id of this call, for reconciling with its log. */
  readonly cloudRequestId?: string;
}

export interface UnwrapResult {
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /**
   * The version that had wrapped, in the same form as `currentVersion`; absent where the cloud tells it of a wrap
   * alone, as Google does.
   */
  readonly keyVersion?: string;
  readonly cloudRequestId?: string;
}

/**
 * - `InvalidCiphertext`: final; this key can never open it under this context.
 * - `KeyUnavailable`: the key is disabled, pending deletion, missing or destroyed.
 * - `AccessDenied`: the broker's own cloud identity may not use it, or could not be had.
 * - `Throttled`, `Timeout`, `Unavailable`: the cloud said "not now", nothing in time, or broke.
 * - `Refused`: the cloud answered that it does not take such a request, and nothing above says why.
 *
 * All but the first and the last are unavailability: another member may still serve. `Refused` may be due to the wrap
 * itself, so it leads to no member whose wraps anyone can make.
 */
export type ProviderErrorCode =
  | "InvalidCiphertext"
  | "KeyUnavailable"
  | "AccessDenied"
  | "Throttled"
  | "Timeout"
  | "Unavailable"
  | "Refused";

/** The only error that leaves a provider. Its message is safe to log: no ARN, URL, account or key material. */
export class ProviderError extends Error {
  override readonly name = "ProviderError";
  readonly code: ProviderErrorCode;
  readonly cloudRequestId: string | undefined;

  constructor(
    code: ProviderErrorCode,
    message: string,
    options?: { cause?: unknown; cloudRequestId?: string },
  ) {
    super(message, options?.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.cloudRequestId = options?.cloudRequestId;
  }
}

/** A failure as a log may tell it. */
export interface ToldFailure {
  readonly result: ProviderErrorCode | "Internal";
  /** Which call it was and the cloud's own name for what is wrong. */
  readonly error?: string;
}

/** Of anything but a ProviderError only that it is a defect: its text may hold what no log may. */
export function toldOf(error: unknown): ToldFailure {
  return error instanceof ProviderError
    ? { result: error.code, error: error.message }
    : { result: "Internal" };
}
