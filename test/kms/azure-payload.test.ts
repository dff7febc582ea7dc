import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { makePayload, payloadBytes, readPayload } from "../../src/kms/azure-payload.ts";

const plaintext = fc.uint8Array({ minLength: 1, maxLength: 64 });
const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/);
const context = fc.record({ kek: name, cluster: name });
const block = fc.constantFrom(1 as const, 8 as const);

describe("what Azure wraps", () => {
  it("reads what was made, and has the announced length", async () => {
    await fc.assert(
      fc.asyncProperty(plaintext, context, block, async (plaintext, context, block) => {
        const payload = await makePayload(plaintext, context, block);
        expect(payload).toHaveLength(payloadBytes(plaintext.length, block));
        expect(payload.length % block).toBe(0);
        expect(await readPayload(payload, context, block)).toStrictEqual(new Uint8Array(plaintext));
      }),
    );
  });

  it("reads nothing under another context", async () => {
    await fc.assert(
      fc.asyncProperty(plaintext, context, context, block, async (plaintext, made, read, block) => {
        fc.pre(made.kek !== read.kek || made.cluster !== read.cluster);
        expect(await readPayload(await makePayload(plaintext, made, block), read, block)).toBeUndefined();
      }),
    );
  });

  it("reads nothing that is shorter or longer", async () => {
    await fc.assert(
      fc.asyncProperty(plaintext, context, block, fc.nat(120), async (plaintext, context, block, length) => {
        const payload = await makePayload(plaintext, context, block);
        fc.pre(length !== payload.length);
        const other = new Uint8Array(length);
        other.set(payload.subarray(0, length));
        expect(await readPayload(other, context, block)).toBeUndefined();
      }),
    );
  });

  it("reads nothing of which a bit in digest or padding was changed", async () => {
    await fc.assert(
      fc.asyncProperty(plaintext, context, fc.nat(), fc.nat(7), async (plaintext, context, at, bit) => {
        const payload = await makePayload(plaintext, context, 8);
        const end = 33 + plaintext.length;
        const outside = [...payload.keys()].filter((index) => index < 32 || index >= end);
        const index = outside[at % outside.length] ?? 0;
        payload[index] = (payload[index] ?? 0) ^ (1 << bit);
        expect(await readPayload(payload, context, 8)).toBeUndefined();
      }),
    );
  });

  it("reads no empty plaintext, and none of 65 bytes", async () => {
    const context = { kek: "a", cluster: "b" };
    for (const length of [0, 65]) {
      const payload = new Uint8Array(33 + length);
      payload.set((await makePayload(new Uint8Array(1), context, 1)).subarray(0, 32));
      payload[32] = length;
      expect(await readPayload(payload, context, 1)).toBeUndefined();
    }
  });
});
