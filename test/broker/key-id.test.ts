import { createHash } from "node:crypto";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { keyId, keyIdLength } from "../../src/broker/key-id.ts";

/** The definition once more, by other means: node:crypto, and base32 through one big number. */
function reference(kek: string, epoch: number, versions: [string, string][]): string {
  const hash = createHash("sha256").update("kek-broker/key-id/v1");
  const ascending = versions.toSorted(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  for (const text of ascending.flat()) {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(Buffer.byteLength(text));
    hash.update(length).update(text);
  }
  const first80 = BigInt(`0x${hash.digest("hex").slice(0, 20)}`);
  const digits = Array.from({ length: 16 }, (_, at) => Number((first80 >> BigInt(75 - 5 * at)) & 31n));
  return `${kek}.${epoch}.${digits.map((digit) => "abcdefghijklmnopqrstuvwxyz234567"[digit]).join("")}`;
}

describe("key id", () => {
  // Computed once with Python's hashlib and base64 modules.
  it.each([
    [[], "prod-secrets.0.lnakeutdo6k3hkxx"],
    [[["aws", "0123456789abcdef"]], "prod-secrets.0.n4le5wxsbv4xcfky"],
    [
      [
        ["gcp", "7"],
        ["aws", "0123456789abcdef"],
      ],
      "prod-secrets.0.uaour67zsn5rzzfn",
    ],
  ] as [[string, string][], string][])("of %j is %s", async (versions, expected) => {
    expect(await keyId("prod-secrets", 0, new Map(versions))).toBe(expected);
  });

  it("is what its definition says, for any names and versions", async () => {
    const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?$/);
    const version = fc.string({ minLength: 1, maxLength: 300, unit: "grapheme" });
    const entries = fc.uniqueArray(fc.tuple(name, version), { maxLength: 8, selector: ([member]) => member });
    await fc.assert(
      fc.asyncProperty(name, fc.nat(1_000_000), entries, async (kek, epoch, versions) => {
        const id = await keyId(kek, epoch, new Map(versions));
        expect(id).toBe(reference(kek, epoch, versions));
        expect(id).toHaveLength(keyIdLength(kek, epoch));
      }),
      { seed: 4 },
    );
  });

  it("does not depend on the order of members", async () => {
    const one = await keyId(
      "k",
      0,
      new Map([
        ["a", "1"],
        ["b", "2"],
      ]),
    );
    expect(
      await keyId(
        "k",
        0,
        new Map([
          ["b", "2"],
          ["a", "1"],
        ]),
      ),
    ).toBe(one);
  });

  it("keeps names and versions apart", async () => {
    const one = await keyId("k", 0, new Map([["ab", "c"]]));
    expect(await keyId("k", 0, new Map([["a", "bc"]]))).not.toBe(one);
  });

  it("changes with the KEK's epoch and any member's version", async () => {
    const ids = await Promise.all([
      keyId(
        "k",
        0,
        new Map([
          ["a", "1"],
          ["b", "2"],
        ]),
      ),
      keyId(
        "k",
        1,
        new Map([
          ["a", "1"],
          ["b", "2"],
        ]),
      ),
      keyId(
        "k",
        0,
        new Map([
          ["a", "1"],
          ["b", "3"],
        ]),
      ),
      keyId("k", 0, new Map([["a", "1"]])),
      keyId(
        "l",
        0,
        new Map([
          ["a", "1"],
          ["b", "2"],
        ]),
      ),
    ]);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it("refuses what no length prefix can hold", async () => {
    await expect(keyId("k", 0, new Map([["a", "x".repeat(65_536)]]))).rejects.toThrow(RangeError);
  });
});
