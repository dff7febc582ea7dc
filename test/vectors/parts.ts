import { encrypt } from "../../src/envelope/cipher.ts";
import { derive } from "../../src/envelope/derive.ts";
import { webPrimitives } from "../../src/envelope/web-primitives.ts";
import { concat, bytes, text, uint } from "./protobuf.ts";
import type { Bytes } from "./protobuf.ts";

/** A head's fields as they will be written: absent ones are left out, whatever the format says of that. */
export interface RawHead {
  readonly version?: number;
  readonly kek?: string;
  readonly cluster?: string;
  readonly keyId?: string;
  readonly threshold?: number;
  readonly members: readonly RawMember[];
}

export interface RawMember {
  readonly name?: string;
  readonly share?: number;
  readonly openVersion?: Bytes;
  readonly wrap?: Bytes;
}

export function rawHead({ version, kek, cluster, keyId, threshold, members }: RawHead): Bytes {
  return concat(
    version === undefined ? none : uint(1, version),
    kek === undefined ? none : text(2, kek),
    cluster === undefined ? none : text(3, cluster),
    keyId === undefined ? none : text(4, keyId),
    threshold === undefined ? none : uint(5, threshold),
    ...members.map((member) => bytes(6, rawMember(member))),
  );
}

const none = new Uint8Array();

export function rawMember({ name, share, openVersion, wrap }: RawMember): Bytes {
  return concat(
    name === undefined ? none : text(1, name),
    share === undefined ? none : uint(2, share),
    openVersion === undefined ? none : bytes(3, openVersion),
    wrap === undefined ? none : bytes(4, wrap),
  );
}

export interface RawEnvelope {
  readonly head: Bytes;
  readonly commitment: Bytes;
  readonly ciphertext: Bytes;
}

export function rawEnvelope({ head, commitment, ciphertext }: RawEnvelope): Bytes {
  return concat(bytes(1, head), bytes(2, commitment), bytes(3, ciphertext));
}

/** Seals correctly under any bytes as head, so that only a rule of the format can refuse it. */
export async function sealRaw(head: Bytes, w: Bytes, plaintext: Bytes): Promise<RawEnvelope> {
  const { key, commitment } = await derive(w, head, webPrimitives);
  return { head, commitment, ciphertext: await encrypt(key, head, plaintext) };
}
