/**
 * One member of a KEK as the envelope uses it: a name and two functions. Whoever builds it binds cloud, cluster,
 * KEK, deadline and request id into the functions; the envelope knows no provider.
 */
export interface EnvelopeMember {
  readonly name: string;
  /** Whether a wrap also proves authenticity: true for AES keys, false for RSA, which wraps by public key. */
  readonly symmetric: boolean;

  /**
   * Wraps the 32 bytes of W, which it must neither keep nor change.
   * @throws MemberFailure; anything else is a defect and passes through `seal`.
   */
  wrap(w: Uint8Array<ArrayBuffer>): Promise<MemberWrap>;

  /**
   * Unwraps. The result's buffer belongs to the caller, who zeroes it.
   * @throws MemberFailure, `final` only when this member can never open this wrap; anything else is a defect and
   * passes through `open`: taking it for unavailability would let a crafted wrap choose the next member.
   */
  unwrap(wrap: Uint8Array<ArrayBuffer>, openVersion?: Uint8Array<ArrayBuffer>): Promise<MemberUnwrap>;
}

export interface MemberWrap {
  /** 1 to 1,024 bytes. */
  readonly wrap: Uint8Array<ArrayBuffer>;
  /** 16 bytes, where unwrapping must be told the version. */
  readonly openVersion?: Uint8Array<ArrayBuffer>;
  /** The version that wrapped, if the member says so: opaque, never empty. */
  readonly keyVersion?: string;
}

export interface MemberUnwrap {
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** The version that had wrapped, if the member says so: opaque, never empty. */
  readonly keyVersion?: string;
}

/** Why a member did not act; the cloud's own reason is the `cause`. */
export class MemberFailure extends Error {
  override readonly name = "MemberFailure";
  /** True: this member can never open this. False: it could not be asked, or not now. */
  readonly final: boolean;
  /** It was asked, and its answer says neither. The wrap may be why, so this is no unavailability. */
  readonly unclear: boolean;

  constructor(message: string, options: { final: boolean; unclear?: boolean; cause?: unknown }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.final = options.final;
    this.unclear = options.unclear ?? false;
  }
}

/** A member that was asked and failed. */
export interface MemberReport {
  readonly name: string;
  readonly failure: MemberFailure;
}
