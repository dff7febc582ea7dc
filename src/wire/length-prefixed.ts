/** A text's UTF-8 bytes. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/**
 * A text's UTF-8 bytes after their number, which takes two bytes, big endian: what goes into a hash or an AAD beside
 * others, so that no two lists of texts make the same bytes.
 * @throws RangeError over 65,535 bytes.
 */
export function lengthPrefixed(text: string): Uint8Array<ArrayBuffer> {
  const bytes = utf8(text);
  if (bytes.length > 0xff_ff) throw new RangeError("a text with a length of two bytes takes at most 65,535");
  const prefixed = new Uint8Array(2 + bytes.length);
  prefixed.set([bytes.length >> 8, bytes.length & 0xff]);
  prefixed.set(bytes, 2);
  return prefixed;
}
