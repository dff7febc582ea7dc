import { decodeBase64 } from "../wire/base64.ts";
import { MAX_KUBERNETES_CIPHERTEXT_BYTES } from "../wire/limits.ts";
import type { WrapResponse } from "../wire/messages.ts";
import { BrokerCallError, KmsError } from "./errors.ts";

/**
 * The envelope in a wrap's answer, as direct mode hands it to kube-apiserver.
 * @throws BrokerCallError `BadAnswer`, KmsError `EnvelopeTooLarge`
 */
export function envelopeOf({ ciphertext }: WrapResponse): Uint8Array {
  const envelope = decodeBase64(ciphertext);
  if (envelope === undefined || envelope.length === 0) {
    throw new BrokerCallError("BadAnswer", "the broker's ciphertext is not base64");
  }
  if (envelope.length <= MAX_KUBERNETES_CIPHERTEXT_BYTES) return envelope;
  throw new KmsError(
    "EnvelopeTooLarge",
    `the broker's envelope takes ${envelope.length} bytes and kube-apiserver stores at most ` +
      `${MAX_KUBERNETES_CIPHERTEXT_BYTES}: give the KEK fewer members, or smaller RSA keys`,
  );
}
