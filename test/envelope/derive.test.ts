import { createCipheriv, createHash, hkdfSync } from "node:crypto";
import { describe, expect, test } from "vitest";

import { decrypt, encrypt } from "../../src/envelope/cipher.ts";
import { derive } from "../../src/envelope/derive.ts";
import { webPrimitives } from "../../src/envelope/web-primitives.ts";
import { nodePrimitives } from "../../src/runtime/node-primitives.ts";
import { bytesFrom } from "./kit.ts";

const w = bytesFrom(1, 32);
const head = bytesFrom(2, 200);
const plaintext = bytesFrom(3, 32);
const nodeHkdf = (label: string) =>
  new Uint8Array(hkdfSync("sha256", w, createHash("sha256").update(head).digest(), label, 32));

describe.each(Object.entries({ webPrimitives, nodePrimitives }))("derivation by %s", (_name, primitives) => {
  test("gives the commitment that node:crypto's HKDF gives", async () => {
    const { commitment } = await derive(w, head, primitives);
    expect(commitment).toEqual(nodeHkdf("kek-broker/v1/commit"));
  });

  test("gives the key that node:crypto's HKDF gives, shown by its AES-256-GCM", async () => {
    const { key } = await derive(w, head, primitives);
    const cipher = createCipheriv("aes-256-gcm", nodeHkdf("kek-broker/v1/key"), new Uint8Array(12));
    cipher.setAAD(head);
    const expected = Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
    expect(await encrypt(key, head, plaintext)).toEqual(new Uint8Array(expected));
  });

  test("decrypts only under the same head", async () => {
    const { key } = await derive(w, head, primitives);
    const ciphertext = await encrypt(key, head, plaintext);
    expect(await decrypt(key, head, ciphertext)).toEqual(plaintext);
    expect(await decrypt(key, bytesFrom(4, 200), ciphertext)).toBeUndefined();
    expect(await decrypt(key, head, ciphertext.slice(0, 8))).toBeUndefined();
  });
});
