import { MAX_PLAINTEXT_BYTES, MIN_PLAINTEXT_BYTES } from "../wire/limits.ts";

/** Throws a RangeError for what no provider wraps: the caller's mistake, so no ProviderError and no reason to fail over. */
export function assertWrappable(plaintext: Uint8Array): void {
  if (plaintext.length >= MIN_PLAINTEXT_BYTES && plaintext.length <= MAX_PLAINTEXT_BYTES) return;
  throw new RangeError(
    `a provider wraps ${MIN_PLAINTEXT_BYTES} to ${MAX_PLAINTEXT_BYTES} bytes, not ${plaintext.length}`,
  );
}
