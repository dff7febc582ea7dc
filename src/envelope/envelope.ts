import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { MAX_CIPHERTEXT_BYTES, MAX_PLAINTEXT_BYTES, MIN_PLAINTEXT_BYTES } from "../wire/limits.ts";
import { equalBytes } from "./bytes.ts";
import { invalidEnvelope } from "./envelope-error.ts";
import { EnvelopeSchema } from "./gen/envelope_pb.ts";
import type { Envelope as EnvelopeMessage } from "./gen/envelope_pb.ts";

export const COMMITMENT_BYTES = 32;
export const TAG_BYTES = 16;

/** The three parts of an envelope, as they lie in it. */
export interface Envelope {
  /** A serialised Head, kept as bytes: it is salt and additional data exactly as written. */
  readonly head: Uint8Array<ArrayBuffer>;
  readonly commitment: Uint8Array<ArrayBuffer>;
  /** AES-256-GCM's output, the tag at its end. */
  readonly ciphertext: Uint8Array<ArrayBuffer>;
}

export function encodeEnvelope(envelope: Envelope): Uint8Array<ArrayBuffer> {
  return new Uint8Array(toBinary(EnvelopeSchema, create(EnvelopeSchema, { ...envelope })));
}

/**
 * Reads an envelope's outside, and only the bytes that `encodeEnvelope` would write. The head is not looked into.
 * @throws EnvelopeError `InvalidEnvelope`.
 */
export function decodeEnvelope(bytes: Uint8Array<ArrayBuffer>): Envelope {
  if (bytes.length > MAX_CIPHERTEXT_BYTES) throw invalidEnvelope(`it is over ${MAX_CIPHERTEXT_BYTES} bytes`);
  const message = parse(bytes);
  if (message.commitment.length !== COMMITMENT_BYTES) {
    throw invalidEnvelope(`its commitment is not ${COMMITMENT_BYTES} bytes`);
  }
  const sealed = message.ciphertext.length - TAG_BYTES;
  if (sealed < MIN_PLAINTEXT_BYTES || sealed > MAX_PLAINTEXT_BYTES) {
    throw invalidEnvelope(`it does not hold ${MIN_PLAINTEXT_BYTES} to ${MAX_PLAINTEXT_BYTES} bytes`);
  }
  if (!equalBytes(toBinary(EnvelopeSchema, message), bytes)) throw invalidEnvelope("it is not canonical");
  return {
    head: new Uint8Array(message.head),
    commitment: new Uint8Array(message.commitment),
    ciphertext: new Uint8Array(message.ciphertext),
  };
}

function parse(bytes: Uint8Array<ArrayBuffer>): EnvelopeMessage {
  try {
    return fromBinary(EnvelopeSchema, bytes, { readUnknownFields: false });
  } catch {
    throw invalidEnvelope("it cannot be read");
  }
}
