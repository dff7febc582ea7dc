import { EnvelopeError } from "../../src/envelope/envelope-error.ts";
import { open, readEnvelope } from "../../src/envelope/open.ts";
import type { OpenInput, Opened } from "../../src/envelope/open.ts";
import { seal } from "../../src/envelope/seal.ts";
import type { SealInput, Sealed } from "../../src/envelope/seal.ts";

export const KEK = "prod-secrets";
export const CLUSTER = "prod-eu-1";
export const KEY_ID = "prod-secrets.0.abcdefghijklmnop";

export const DEK = bytesFrom(1, 32);

/** Distinct, repeatable bytes. */
export function bytesFrom(seed: number, length: number): Uint8Array<ArrayBuffer> {
  return Uint8Array.from({ length }, (_, index) => (seed * 89 + index * 151 + (index >> 3)) & 0xff);
}

export function sealFor(input: Partial<SealInput> & Pick<SealInput, "members">): Promise<Sealed> {
  return seal({
    kek: KEK,
    cluster: CLUSTER,
    threshold: 1,
    wrapQuorum: 1,
    plaintext: DEK.slice(),
    keyIdOf: () => KEY_ID,
    random: (length) => bytesFrom(77, length),
    ...input,
  });
}

export async function openFor(
  input: Partial<Omit<OpenInput, "envelope">> &
    Pick<OpenInput, "members"> & { readonly envelope: Uint8Array<ArrayBuffer> },
): Promise<Opened> {
  return open({
    kek: KEK,
    clusters: new Set([CLUSTER]),
    minThreshold: 1,
    allowRsaOnly: false,
    ...input,
    envelope: readEnvelope(input.envelope),
  });
}

/** The code an act failed with; any error but an EnvelopeError passes through and fails the test. */
export async function failureOf(act: Promise<unknown>): Promise<EnvelopeError> {
  try {
    await act;
  } catch (error) {
    if (error instanceof EnvelopeError) return error;
    throw error;
  }
  throw new Error("nothing failed");
}

/** For a `catch`. */
export function codeOrThrow(error: unknown): string {
  if (error instanceof EnvelopeError) return error.code;
  throw error;
}

export async function codeOf(act: Promise<unknown>): Promise<string> {
  return (await failureOf(act)).code;
}

/** A copy with one bit turned over; bit 0 is the lowest of byte 0. */
export function flipped(bytes: Uint8Array, bit: number): Uint8Array<ArrayBuffer> {
  const copy = Uint8Array.from(bytes);
  copy[bit >> 3] = (copy[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return copy;
}
