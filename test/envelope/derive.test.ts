import { createCipheriv, createHash, hkdfSync } from "node:crypto";
import { describe, expect, test } from "vitest";

import { decrypt, encrypt } from "../../src/envelope/cipher.ts";
import { derive } from "../../src/envelope/derive.ts";
import { bytesFrom } from "./kit.ts";

const w = bytesFrom(1, 32);
const head = bytesFrom(2, 200);
const plaintext = bytesFrom(3, 32);
const nodeHkdf = (label: string) =>
  new Uint8Array(hkdfSync("sha256", w, createHash("sha256").update(head).digest(), label, 32));

describe("derivation", () => {
  test("gives the commitment that node:crypto's HKDF gives", async () => {
    expect((await derive(w, head)).commitment).toEqual(nodeHkdf("kek-broker/v1/commit"));
  });

  test("gives the key that node:crypto's HKDF gives, shown by its AES-256-GCM", async () => {
    const { key } = await derive(w, head);
    const cipher = createCipheriv("aes-256-gcm", nodeHkdf("kek-broker/v1/key"), new Uint8Array(12));
    cipher.setAAD(head);
    const expected = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    expect(await encrypt(key, head, plaintext)).toEqual(new Uint8Array(expected));
  });

  test("gives a key whose bytes cannot be taken out", async () => {
    const { key } = await derive(w, head);
    expect(key.extractable).toBe(false);
  });

  test("decrypts only under the same head", async () => {
    const { key } = await derive(w, head);
    const ciphertext = await encrypt(key, head, plaintext);
    expect(await decrypt(key, head, ciphertext)).toEqual(plaintext);
    expect(await decrypt(key, bytesFrom(4, 200), ciphertext)).toBeUndefined();
    expect(await decrypt(key, head, ciphertext.slice(0, 8))).toBeUndefined();
  });

  test("passes on what is not a matter of the ciphertext", async () => {
    const wrong = await crypto.subtle.generateKey({ name: "AES-GCM", length: 256 }, true, ["encrypt"]);
    await expect(decrypt(wrong, head, new Uint8Array(48))).rejects.toMatchObject({
      name: "InvalidAccessError",
    });
  });
});
