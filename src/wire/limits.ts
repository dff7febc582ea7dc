/** Sizes and times both ends hold to. Bytes and milliseconds. */

/** A wrap takes at least this much: nothing is not a key. */
export const MIN_PLAINTEXT_BYTES = 1;
/** The broker wraps keys, not data. */
export const MAX_PLAINTEXT_BYTES = 256;
export const MAX_CIPHERTEXT_BYTES = 4096;
export const MAX_BODY_BYTES = 8192;
/** What kube-apiserver accepts from a KMS v2 plugin as a wrapped DEK source, and as a key id. */
export const MAX_KUBERNETES_CIPHERTEXT_BYTES = 1024;
/** The most time a caller can ask for with `X-Timeout-Ms`. */
export const MAX_TIMEOUT_MS = 2500;
/** Of a bearer token, in characters. Longer ones are nobody's; Node takes 16 KiB for all headers together. */
export const MAX_TOKEN_LENGTH = 8192;
/** Members of a KEK, and of an envelope. */
export const MAX_MEMBERS = 8;
/** A KMS request's `uid`: kube-apiserver sends a UUID, 36 characters. */
export const MAX_UID_LENGTH = 64;
