/** Just enough protobuf to write what the codec would never write. */

const VARINT = 0;
const LENGTH_DELIMITED = 2;

export type Bytes = Uint8Array<ArrayBuffer>;

export function concat(...parts: readonly Uint8Array[]): Bytes {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

/** Minimal, or padded to `width` bytes with empty groups of 7 bits. */
export function varint(value: number, width = 1): Bytes {
  const groups: number[] = [];
  for (let rest = value; rest > 0 || groups.length < width; rest = Math.floor(rest / 128))
    groups.push(rest % 128);
  return Uint8Array.from(groups, (group, index) => (index < groups.length - 1 ? group | 0x80 : group));
}

export function uint(field: number, value: number): Bytes {
  return concat(varint(field * 8 + VARINT), varint(value));
}

export function bytes(field: number, value: Uint8Array): Bytes {
  return concat(varint(field * 8 + LENGTH_DELIMITED), varint(value.length), value);
}

export function text(field: number, value: string): Bytes {
  return bytes(field, new TextEncoder().encode(value));
}
