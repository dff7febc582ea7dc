import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { encodeBase64 } from "../../src/wire/base64.ts";
import { createLocalProvider } from "../../src/kms/local.ts";

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const call = { signal: new AbortController().signal, requestId: "request-1" };
const key = (fill: number) => encodeBase64(new Uint8Array(32).fill(fill));
const one = createLocalProvider({ keys: [{ version: "v1", key: key(1) }], primary: "v1" });

/**
 * 32 zero bytes under 32 bytes of 1, the nonce 00…0b and four length-prefixed fields, as Python's `cryptography`
 * seals them: the format cannot drift unseen.
 */
const SEALED_BY_PYTHON =
  "bba6952620fe0679fe6ae7c42069c8a3aec66b0af591450071ca3880a1873db200fb27c874e26a241855c699fc72ab50";

describe("the wrap", () => {
  it("is the version's name behind its length, the nonce, the ciphertext and its tag", async () => {
    const nonce = Uint8Array.from({ length: 12 }, (_, index) => index);
    const provider = createLocalProvider({ keys: [{ version: "v1", key: key(1) }], primary: "v1" }, (bytes) =>
      bytes.set(nonce),
    );
    const { wrap } = await provider.wrap(new Uint8Array(32), CONTEXT, call);
    expect(wrap.subarray(0, 3)).toStrictEqual(Uint8Array.of(2, 0x76, 0x31));
    expect(wrap.subarray(3, 15)).toStrictEqual(nonce);
    expect(wrap.length).toBe(provider.maxWrapBytes);
    expect(Buffer.from(wrap.subarray(15)).toString("hex")).toBe(SEALED_BY_PYTHON);
  });

  it("is refused for good with any byte changed, the version's too", async () => {
    const fixed = createLocalProvider({ keys: [{ version: "v1", key: key(1) }], primary: "v1" }, () => {});
    const { wrap } = await fixed.wrap(new Uint8Array(32), CONTEXT, call);
    for (let at = 0; at < wrap.length; at++) {
      const tampered = wrap.slice();
      tampered[at]! ^= 1;
      await expect(one.unwrap(tampered, CONTEXT, call), `byte ${at}`).rejects.toMatchObject({
        code: "InvalidCiphertext",
      });
    }
  });

  it("is refused for good wherever it is cut", async () => {
    const { wrap } = await one.wrap(new Uint8Array(32), CONTEXT, call);
    for (let length = 0; length < wrap.length; length++) {
      await expect(one.unwrap(wrap.slice(0, length), CONTEXT, call), `${length} bytes`).rejects.toMatchObject(
        {
          code: "InvalidCiphertext",
        },
      );
    }
  });

  it("never throws anything but a ProviderError for garbage", async () => {
    const garbage = fc.uint8Array({ maxLength: 200 }).map((bytes) => new Uint8Array(bytes));
    await fc.assert(
      fc.asyncProperty(garbage, async (wrap) => {
        await expect(one.unwrap(wrap, CONTEXT, call)).rejects.toMatchObject({ name: "ProviderError" });
      }),
    );
  });

  it("opens what was wrapped under the same context only", async () => {
    const name = fc.stringMatching(/^[a-z0-9-]{1,40}$/);
    const context = fc.record({ kek: name, cluster: name });
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ minLength: 1, maxLength: 256 }),
        context,
        context,
        async (bytes, mine, other) => {
          fc.pre(mine.kek !== other.kek || mine.cluster !== other.cluster);
          const plaintext = new Uint8Array(bytes);
          const { wrap } = await one.wrap(plaintext, mine, call);
          await expect(one.unwrap(wrap, mine, call)).resolves.toMatchObject({ plaintext });
          await expect(one.unwrap(wrap, other, call)).rejects.toMatchObject({ code: "InvalidCiphertext" });
        },
      ),
    );
  });
});

describe("a version", () => {
  it("that is taken out of the configuration is refused for good, and opens again when it is back", async () => {
    const keys = [
      { version: "v1", key: key(1) },
      { version: "v2", key: key(2) },
    ];
    const plaintext = new Uint8Array(32).fill(9);
    const { wrap } = await one.wrap(plaintext, CONTEXT, call);
    const without = createLocalProvider({ keys: keys.slice(1), primary: "v2" });
    await expect(without.unwrap(wrap, CONTEXT, call)).rejects.toMatchObject({
      code: "InvalidCiphertext",
    });
    const restored = createLocalProvider({ keys, primary: "v2" });
    await expect(restored.unwrap(wrap, CONTEXT, call)).resolves.toMatchObject({ plaintext });
  });

  it("with another key under the same name is another version, and opens nothing of the first", async () => {
    const other = createLocalProvider({ keys: [{ version: "v1", key: key(2) }], primary: "v1" });
    expect(await one.currentVersion(call)).toMatch(/^v1-[0-9a-f]{8}$/);
    expect(await other.currentVersion(call)).toMatch(/^v1-[0-9a-f]{8}$/);
    expect(await other.currentVersion(call)).not.toBe(await one.currentVersion(call));
    const { wrap } = await one.wrap(new Uint8Array(32), CONTEXT, call);
    await expect(other.unwrap(wrap, CONTEXT, call)).rejects.toMatchObject({ code: "InvalidCiphertext" });
  });

  it("does not show its key's bytes", async () => {
    expect(await one.currentVersion(call)).not.toContain("01010101");
  });
});

describe("keys that cannot be used", () => {
  it.each([
    { what: "a key that is too short", keys: [{ version: "v1", key: "AAAA" }], primary: "v1" },
    { what: "a key that is not base64", keys: [{ version: "v1", key: "?" }], primary: "v1" },
    { what: "an unknown primary", keys: [{ version: "v1", key: key(1) }], primary: "v2" },
    { what: "no keys", keys: [], primary: "v1" },
    { what: "an empty name", keys: [{ version: "", key: key(1) }], primary: "" },
    {
      what: "a name over 255 bytes",
      keys: [{ version: "é".repeat(128), key: key(1) }],
      primary: "é".repeat(128),
    },
    {
      what: "a version given twice",
      keys: [
        { version: "v1", key: key(1) },
        { version: "v1", key: key(2) },
      ],
      primary: "v1",
    },
  ])("are refused at once: $what", ({ keys, primary }) => {
    expect(() => createLocalProvider({ keys, primary })).toThrow(TypeError);
  });
});
