/**
 * Standard base64 (RFC 4648 §4), padded and canonical.
 *
 * `atob` alone is lenient (white space, missing padding, stray bits), so a decoded text is accepted only if it
 * encodes to itself again: two texts never stand for the same bytes.
 */

const ALPHABET = /^[A-Za-z0-9+/]*={0,2}$/;

/** Encodes bytes as padded standard base64. */
export function encodeBase64(bytes: Uint8Array): string {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary);
}

/** Decodes canonical padded base64; returns `undefined` for anything else. */
export function decodeBase64(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 4 !== 0 || !ALPHABET.test(text)) return undefined;
  const binary = atob(text);
  if (btoa(binary) !== text) return undefined;
  const bytes = new Uint8Array(binary.length);
  // Every unwrap decodes several times: this is ten times as fast as Uint8Array.from with a function.
  for (let at = 0; at < binary.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}

/** Encodes bytes as unpadded base64url (RFC 4648 §5), as JWT claims carry them. */
export function encodeBase64Url(bytes: Uint8Array): string {
  return encodeBase64(bytes).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}
