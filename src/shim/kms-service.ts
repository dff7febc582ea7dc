/**
 * KMS v2 as plain data, behind the gRPC edge: the seam between the socket and a mode of sealing. Methods reject with
 * KmsError or BrokerCallError.
 */
export interface KmsService {
  /** From memory, at once. */
  status(): StatusAnswer;
  encrypt(request: EncryptRequest, caller: Caller): Promise<EncryptAnswer>;
  decrypt(request: DecryptRequest, caller: Caller): Promise<DecryptAnswer>;
}

/** Who waits for the answer. */
export interface Caller {
  /** Milliseconds this caller still waits; Infinity without a deadline. */
  readonly remainingMs: number;
  /** Aborts when nobody waits any more. */
  readonly signal: AbortSignal;
}

export interface StatusAnswer {
  readonly version: string;
  readonly healthz: string;
  /** Empty while none is known. */
  readonly keyId: string;
}

export interface EncryptRequest {
  readonly plaintext: Uint8Array;
  readonly uid: string;
}

export interface EncryptAnswer {
  readonly ciphertext: Uint8Array;
  readonly keyId: string;
}

export interface DecryptRequest {
  readonly ciphertext: Uint8Array;
  readonly uid: string;
}

export interface DecryptAnswer {
  /** The receiver's to zero. */
  readonly plaintext: Uint8Array;
}
