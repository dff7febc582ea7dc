/**
 * The most bytes that any provider is asked to wrap: W has 32, a share of it one more. RSA-2048 with OAEP and SHA-256
 * takes 190, and a provider may need room for the context.
 */
export const MAX_WRAPPABLE_BYTES = 64;

/** Throws a RangeError for what no provider wraps: the caller's mistake, so no ProviderError and no reason to fail over. */
export function assertWrappable(plaintext: Uint8Array): void {
  if (plaintext.length >= 1 && plaintext.length <= MAX_WRAPPABLE_BYTES) return;
  throw new RangeError(`a provider wraps 1 to ${MAX_WRAPPABLE_BYTES} bytes, not ${plaintext.length}`);
}
