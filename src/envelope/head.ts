import { create, fromBinary, toBinary } from "@bufbuild/protobuf";

import { MAX_MEMBERS } from "../wire/limits.ts";
import { NAME_PATTERN } from "../wire/name.ts";
import { equalBytes } from "./bytes.ts";
import { EnvelopeError, invalidEnvelope } from "./envelope-error.ts";
import { HeadSchema } from "./gen/envelope_pb.ts";
import type { Head as HeadMessage } from "./gen/envelope_pb.ts";

/** The only version of the format so far. */
const ENVELOPE_VERSION = 1;
export const MAX_WRAP_BYTES = 1024;
/** A member's version of a key, where opening needs it. */
export const OPEN_VERSION_BYTES = 16;
const MAX_KEY_ID_LENGTH = 128;

const KEY_ID_PATTERN = /^[\x21-\x7e]*$/;
const MAX_SHARE = 255;

/** What an envelope says about itself. Its serialised bytes are authenticated as a whole, wraps included. */
export interface Head {
  readonly kek: string;
  /** The cluster's `id`. */
  readonly cluster: string;
  /** null when it could not be known while sealing (an empty string in the bytes). */
  readonly keyId: string | null;
  /** How many members must agree to open. */
  readonly threshold: number;
  /** 1 to 8, names unique, in the order of the configuration that sealed. */
  readonly members: readonly HeadMember[];
}

export interface HeadMember {
  readonly name: string;
  /** 0 when the threshold is 1: each member holds the whole of W. */
  readonly share: number;
  /** Absent where the wrap itself says it. */
  readonly openVersion?: Uint8Array<ArrayBuffer>;
  readonly wrap: Uint8Array<ArrayBuffer>;
}

/**
 * The head's one and only encoding.
 * @throws TypeError when the head breaks the format's own rules: a caller's mistake.
 */
export function encodeHead(head: Head): Uint8Array<ArrayBuffer> {
  const message = create(HeadSchema, {
    version: ENVELOPE_VERSION,
    kek: head.kek,
    cluster: head.cluster,
    keyId: head.keyId ?? "",
    threshold: head.threshold,
    members: head.members.map(({ name, share, openVersion, wrap }) => ({
      name,
      share,
      keyVersion: openVersion ?? new Uint8Array(),
      wrap,
    })),
  });
  const fault = faultOf(message);
  if (fault !== undefined) throw new TypeError(`not a head: ${fault}`);
  return new Uint8Array(toBinary(HeadSchema, message));
}

/**
 * Reads a head, and only the bytes that `encodeHead` would write: unknown fields, another order, longer varints and
 * written defaults are refused.
 * @throws EnvelopeError `UnsupportedVersion` or `InvalidEnvelope`.
 */
export function decodeHead(bytes: Uint8Array<ArrayBuffer>): Head {
  const message = parse(bytes);
  // Before everything else: a later version may have fields that this one must not judge.
  if (message.version > ENVELOPE_VERSION) {
    throw new EnvelopeError(
      "UnsupportedVersion",
      "the envelope is of a version that this release does not know",
    );
  }
  const fault = faultOf(message);
  if (fault !== undefined) throw invalidEnvelope(fault);
  if (!equalBytes(toBinary(HeadSchema, message), bytes)) throw invalidEnvelope("its head is not canonical");
  return toHead(message);
}

function parse(bytes: Uint8Array<ArrayBuffer>): HeadMessage {
  try {
    return fromBinary(HeadSchema, bytes, { readUnknownFields: false });
  } catch {
    throw invalidEnvelope("its head cannot be read");
  }
}

function toHead(message: HeadMessage): Head {
  return {
    kek: message.kek,
    cluster: message.cluster,
    keyId: message.keyId === "" ? null : message.keyId,
    threshold: message.threshold,
    members: message.members.map(({ name, share, keyVersion, wrap }) => ({
      name,
      share,
      ...(keyVersion.length > 0 && { openVersion: new Uint8Array(keyVersion) }),
      wrap: new Uint8Array(wrap),
    })),
  };
}

/** The first rule of the format that a head breaks, for both directions. */
function faultOf(message: HeadMessage): string | undefined {
  if (message.version !== ENVELOPE_VERSION) return "its head has no version";
  if (!NAME_PATTERN.test(message.kek)) return "its KEK is not a name";
  if (!NAME_PATTERN.test(message.cluster)) return "its cluster is not a name";
  if (message.keyId.length > MAX_KEY_ID_LENGTH || !KEY_ID_PATTERN.test(message.keyId)) {
    return `its key id is not at most ${MAX_KEY_ID_LENGTH} visible ASCII characters`;
  }
  return membersFault(message);
}

function membersFault({ members, threshold }: HeadMessage): string | undefined {
  if (members.length < 1 || members.length > MAX_MEMBERS) return `it has not 1 to ${MAX_MEMBERS} members`;
  if (threshold < 1 || threshold > members.length) return "its threshold is not 1 to its number of members";
  if (new Set(members.map(({ name }) => name)).size < members.length) return "a member appears twice";
  for (const { name, keyVersion, wrap } of members) {
    if (!NAME_PATTERN.test(name)) return "a member has no proper name";
    if (keyVersion.length !== 0 && keyVersion.length !== OPEN_VERSION_BYTES) {
      return `a key version is not ${OPEN_VERSION_BYTES} bytes`;
    }
    if (wrap.length < 1 || wrap.length > MAX_WRAP_BYTES) return `a wrap is not 1 to ${MAX_WRAP_BYTES} bytes`;
  }
  const shares = members.map(({ share }) => share);
  if (threshold === 1)
    return shares.every((share) => share === 0) ? undefined : "it has shares to no purpose";
  if (shares.some((share) => share < 1 || share > MAX_SHARE)) return `a share is not 1 to ${MAX_SHARE}`;
  return new Set(shares).size < shares.length ? "a share appears twice" : undefined;
}
