import * as z from "zod";

import type { ProviderCall } from "./key-provider.ts";

/**
 * The three methods of Google's KeyManagementService that the broker uses, whatever carries them. One attempt a call,
 * ended by `call.signal`. Answers have the right shape and nothing more: what they claim is checked by the provider.
 * All throw ProviderError: `Unavailable` for an answer that is not of its shape.
 */
export interface GoogleKms {
  encrypt(request: EncryptRequest, call: ProviderCall): Promise<EncryptAnswer>;
  decrypt(request: DecryptRequest, call: ProviderCall): Promise<DecryptAnswer>;
  getCryptoKey(name: string, call: ProviderCall): Promise<CryptoKeyAnswer>;
}

/** `name` is a CryptoKey's resource name. A CRC32C is from 0 to 2^32 - 1. */
export interface EncryptRequest {
  readonly name: string;
  readonly plaintext: Uint8Array<ArrayBuffer>;
  readonly plaintextCrc32c: number;
  readonly additionalAuthenticatedData: Uint8Array<ArrayBuffer>;
  readonly additionalAuthenticatedDataCrc32c: number;
}

export interface DecryptRequest {
  readonly name: string;
  readonly ciphertext: Uint8Array<ArrayBuffer>;
  readonly ciphertextCrc32c: number;
  readonly additionalAuthenticatedData: Uint8Array<ArrayBuffer>;
  readonly additionalAuthenticatedDataCrc32c: number;
}

export type EncryptAnswer = z.infer<GoogleAnswers["Encrypt"]>;
export type DecryptAnswer = z.infer<GoogleAnswers["Decrypt"]>;
export type CryptoKeyAnswer = z.infer<GoogleAnswers["GetCryptoKey"]>;

type GoogleAnswers = ReturnType<typeof googleAnswers>;

/** An int64, which JSON and the SDK write as a text, and protobuf.js, left to itself, as two halves. */
const Int64 = z.union([
  z.number(),
  z
    .string()
    .regex(/^[0-9]{1,19}$/)
    .transform(Number),
  z.object({ low: z.int(), high: z.int() }).transform(({ low, high }) => high * 2 ** 32 + (low >>> 0)),
]);

/** A google.protobuf.Int64Value: bare in JSON, an object from the SDK. */
const Crc32c = z
  .union([Int64, z.object({ value: Int64 }).transform(({ value }) => value)])
  .pipe(z.int().min(0).max(0xff_ff_ff_ff));

/** The name of an enum's value, or its number where the SDK does not know it. */
const EnumValue = z.union([z.string(), z.number()]);

/** Absent from JSON, and `false` from the SDK, unless true. */
const Flag = z.boolean().nullish().transform(Boolean);

/** The shapes of the answers, by operation; `Bytes` is what their carrier makes of a `bytes` field. */
export function googleAnswers<Bytes extends z.ZodType<Uint8Array<ArrayBuffer>>>(Bytes: Bytes) {
  return {
    Encrypt: z.object({
      name: z.string(),
      ciphertext: Bytes,
      ciphertextCrc32c: Crc32c,
      verifiedPlaintextCrc32c: Flag,
      verifiedAdditionalAuthenticatedDataCrc32c: Flag,
    }),
    Decrypt: z.object({ plaintext: Bytes, plaintextCrc32c: Crc32c }),
    GetCryptoKey: z.object({
      name: z.string(),
      purpose: EnumValue,
      primary: z.object({ name: z.string(), state: EnumValue }).nullish(),
    }),
  };
}
