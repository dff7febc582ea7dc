import { open } from "node:fs/promises";

import { importSigningKey, type SigningKey, SigningKeyError } from "../kms/identity/signing-key.ts";

const OTHERS = 0o077;

/**
 * The signing key that is in a file now.
 * @throws SigningKeyError when it is none, or others than the file's owner may read it; else what the system throws.
 */
export async function readSigningKey(file: string): Promise<SigningKey> {
  const handle = await open(file, "r");
  try {
    const text = await handle.readFile("utf8");
    if (((await handle.stat()).mode & OTHERS) !== 0) {
      throw new SigningKeyError(
        "keyFile can be read by others than its owner: chmod 0600 it, and rotate the key if they may have read it",
      );
    }
    return await importSigningKey(text);
  } finally {
    await handle.close();
  }
}
