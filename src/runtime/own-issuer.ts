import type { Identity } from "../config/schema.ts";
import type { IdentityTokenSource } from "../kms/identity/identity-token.ts";
import { createSelfSigned } from "../kms/identity/self-signed.ts";
import { importSigningKey, SigningKeyError, type SigningKey } from "../kms/identity/signing-key.ts";
import { DocumentError } from "../wire/document.ts";

/** Where the environment's or Worker's secret is, on every runtime. */
const SIGNING_KEY_VARIABLE = "KEK_BROKER_SIGNING_KEY";

/**
 * The issuer of the broker's own as a source of tokens, after one look at its key.
 * @throws DocumentError when there is no key that signs.
 */
export async function ownIssuer(
  { url, subject }: NonNullable<Identity["issuer"]>,
  key: () => Promise<SigningKey>,
  now: () => number,
): Promise<IdentityTokenSource> {
  try {
    await key();
  } catch (error) {
    throw new DocumentError([{ path: "identity.issuer", message: whyNoKey(error) }]);
  }
  return createSelfSigned({ url, subject, key, now });
}

/** Of what is not ours the system's code alone: its text may repeat what it read. */
function whyNoKey(error: unknown): string {
  if (error instanceof SigningKeyError) return error.message;
  const code = error instanceof Error && "code" in error ? ` (${String(error.code)})` : "";
  return `keyFile: the signing key cannot be read${code}`;
}

/** A key that stays as it is. */
export function fixedKey(text: string | undefined): () => Promise<SigningKey> {
  let imported: Promise<SigningKey> | undefined;
  return () => {
    imported ??=
      text === undefined
        ? Promise.reject(new SigningKeyError(`there is no signing key: ${SIGNING_KEY_VARIABLE} is not set`))
        : importSigningKey(text);
    return imported;
  };
}
