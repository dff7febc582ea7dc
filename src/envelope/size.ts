import { MAX_PLAINTEXT_BYTES, MIN_PLAINTEXT_BYTES } from "../wire/limits.ts";
import { COMMITMENT_BYTES, TAG_BYTES, encodeEnvelope } from "./envelope.ts";
import { OPEN_VERSION_BYTES, encodeHead } from "./head.ts";

export interface EnvelopeShape {
  readonly kek: string;
  /** The cluster's `id`. */
  readonly cluster: string;
  /** Characters of the longest key id this KEK can have now. */
  readonly keyIdLength: number;
  readonly threshold: number;
  /** All that wrap (`use: both`). */
  readonly members: readonly {
    readonly name: string;
    readonly maxWrapBytes: number;
    readonly needsVersionToUnwrap: boolean;
  }[];
  /** 1 to 256. */
  readonly plaintextBytes: number;
}

/** The most bytes an envelope of this shape can take: status' `maxCiphertext`. Lengths decide alone, so it builds one. */
export function maxEnvelopeBytes(shape: EnvelopeShape): number {
  if (shape.plaintextBytes < MIN_PLAINTEXT_BYTES || shape.plaintextBytes > MAX_PLAINTEXT_BYTES) {
    throw new RangeError(`an envelope holds ${MIN_PLAINTEXT_BYTES} to ${MAX_PLAINTEXT_BYTES} bytes`);
  }
  const head = encodeHead({
    kek: shape.kek,
    cluster: shape.cluster,
    keyId: "x".repeat(shape.keyIdLength),
    threshold: shape.threshold,
    members: shape.members.map(({ name, maxWrapBytes, needsVersionToUnwrap }, index) => ({
      name,
      share: shape.threshold === 1 ? 0 : index + 1,
      ...(needsVersionToUnwrap && { openVersion: new Uint8Array(OPEN_VERSION_BYTES) }),
      wrap: new Uint8Array(maxWrapBytes),
    })),
  });
  return encodeEnvelope({
    head,
    commitment: new Uint8Array(COMMITMENT_BYTES),
    ciphertext: new Uint8Array(shape.plaintextBytes + TAG_BYTES),
  }).length;
}
