import { lengthPrefixed, utf8 } from "../wire/length-prefixed.ts";

const LABEL = "kek-broker/key-id/v1";
const ALPHABET = "abcdefghijklmnopqrstuvwxyz234567";
const HASH_CHARACTERS = 16;

/**
 * The id under which Kubernetes knows what sealed its data: `<kek>.<epoch>.<hash>`. It is the same as long as every
 * member's version is, and another after any rotation.
 *
 * The hash is the first 16 characters of lower-case base32 (RFC 4648 §6) of SHA-256 over the bytes of
 * `kek-broker/key-id/v1`, then for each member, by ascending name: its name and its version, both in UTF-8 and each
 * after its length in two bytes, big endian.
 *
 * @param versions Version by name, of every member with `use: both`; an opaque text of at most 65,535 bytes.
 */
export async function keyId(
  kek: string,
  epoch: number,
  versions: ReadonlyMap<string, string>,
): Promise<string> {
  const bytes = [...utf8(LABEL)];
  for (const name of [...versions.keys()].sort(byCodeUnit)) {
    bytes.push(...lengthPrefixed(name), ...lengthPrefixed(versions.get(name) ?? ""));
  }
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", Uint8Array.from(bytes)));
  return `${kek}.${epoch}.${base32(digest).slice(0, HASH_CHARACTERS)}`;
}

/** Characters of any key id of this KEK and epoch. */
export function keyIdLength(kek: string, epoch: number): number {
  return `${kek}.${epoch}.`.length + HASH_CHARACTERS;
}

function byCodeUnit(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

function base32(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = ((buffer << 8) | byte) & 0xf_ff;
    bits += 8;
    for (; bits >= 5; bits -= 5) text += ALPHABET.charAt((buffer >> (bits - 5)) & 31);
  }
  return bits === 0 ? text : text + ALPHABET.charAt((buffer << (5 - bits)) & 31);
}
