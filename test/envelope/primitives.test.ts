import * as fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";

import type { Primitives } from "../../src/envelope/primitives.ts";
import { webPrimitives } from "../../src/envelope/web-primitives.ts";
import { nodePrimitives } from "../../src/runtime/node-primitives.ts";
import { bytesFrom, flipped } from "./kit.ts";

const SECRET = bytesFrom(1, 32);
const SALT = bytesFrom(2, 32);
const INFO = { aead: bytesFrom(3, 17), bytes: bytesFrom(8, 20) };
const NONCE = bytesFrom(4, 12);
const AAD = bytesFrom(5, 90);

const fromHex = (text: string) => Uint8Array.from(Buffer.from(text, "hex"));

const byteArrays = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Uint8Array.from(bytes));

describe.each(Object.entries({ webPrimitives, nodePrimitives }))("%s", (_name, primitives: Primitives) => {
  const aead = async () => (await primitives.hkdf(SECRET, SALT, INFO)).aead;

  test("hash as FIPS 180-4's example", async () => {
    const digest = await primitives.sha256(new TextEncoder().encode("abc"));
    expect(digest).toEqual(fromHex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
  });

  test("expand as RFC 5869's first example", async () => {
    const info = fromHex("f0f1f2f3f4f5f6f7f8f9");
    const { bytes } = await primitives.hkdf(
      fromHex("0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b"),
      fromHex("000102030405060708090a0b0c"),
      { aead: info, bytes: info },
    );
    expect(bytes).toEqual(fromHex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"));
  });

  test("give results that own their memory", async () => {
    const key = await aead();
    const ciphertext = await key.encrypt(NONCE, AAD, bytesFrom(6, 32));
    for (const result of [
      await primitives.sha256(SECRET),
      (await primitives.hkdf(SECRET, SALT, INFO)).bytes,
      ciphertext,
      await key.decrypt(NONCE, AAD, ciphertext),
    ]) {
      expect(result?.constructor).toBe(Uint8Array);
      expect(result?.buffer.byteLength).toBe(result?.length);
    }
  });

  test("open nothing that was altered, shortened, or sealed under another nonce", async () => {
    const key = await aead();
    const ciphertext = await key.encrypt(NONCE, AAD, bytesFrom(6, 32));
    for (let bit = 0; bit < ciphertext.length * 8; bit += 1) {
      expect(await key.decrypt(NONCE, AAD, flipped(ciphertext, bit))).toBeUndefined();
    }
    for (let length = 0; length < ciphertext.length; length += 1) {
      expect(await key.decrypt(NONCE, AAD, ciphertext.slice(0, length))).toBeUndefined();
    }
    expect(await key.decrypt(bytesFrom(7, 12), AAD, ciphertext)).toBeUndefined();
  });

  test("leave what they are given as it was", async () => {
    const all = [SECRET, SALT, INFO.aead, INFO.bytes, NONCE, AAD];
    const given = all.map((bytes) => bytes.slice());
    const key = await aead();
    await key.decrypt(NONCE, AAD, await key.encrypt(NONCE, AAD, SECRET));
    expect(all).toEqual(given);
  });
});

test("Web Crypto's and node:crypto's agree on everything", async () => {
  await fc.assert(
    fc.asyncProperty(
      byteArrays(1, 64),
      byteArrays(0, 64),
      byteArrays(0, 40),
      byteArrays(0, 400),
      byteArrays(0, 256),
      async (secret, salt, label, aad, plaintext) => {
        const info = { aead: label, bytes: aad };
        expect(nodePrimitives.sha256(aad)).toEqual(await webPrimitives.sha256(aad));
        const ours = await nodePrimitives.hkdf(secret, salt, info);
        const theirs = await webPrimitives.hkdf(secret, salt, info);
        expect(ours.bytes).toEqual(theirs.bytes);
        const ciphertext = await theirs.aead.encrypt(NONCE, aad, plaintext);
        expect(await ours.aead.encrypt(NONCE, aad, plaintext)).toEqual(ciphertext);
        expect(await ours.aead.decrypt(NONCE, aad, ciphertext)).toEqual(plaintext);
        expect(await theirs.aead.decrypt(NONCE, aad, ciphertext)).toEqual(plaintext);
      },
    ),
  );
});

describe("Web Crypto's", () => {
  afterEach(() => {
    vi.restoreAllMocks();
  });

  test("keep the derived key where its bytes cannot be taken out", async () => {
    const deriveKey = vi.spyOn(crypto.subtle, "deriveKey");
    await webPrimitives.hkdf(SECRET, SALT, INFO);
    const key = await deriveKey.mock.results[0]?.value;
    expect(key).toMatchObject({ extractable: false });
  });

  test("pass on what is not a matter of the ciphertext", async () => {
    const { aead } = await webPrimitives.hkdf(SECRET, SALT, INFO);
    vi.spyOn(crypto.subtle, "decrypt").mockRejectedValue(new DOMException("", "InvalidAccessError"));
    await expect(aead.decrypt(NONCE, AAD, new Uint8Array(48))).rejects.toMatchObject({
      name: "InvalidAccessError",
    });
  });
});
