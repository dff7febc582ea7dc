import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { equalBytes } from "../../src/envelope/bytes.ts";
import { EnvelopeError } from "../../src/envelope/envelope-error.ts";
import { decodeHead, encodeHead } from "../../src/envelope/head.ts";
import type { Head } from "../../src/envelope/head.ts";
import { bytesFrom, codeOrThrow, flipped } from "./kit.ts";

const wrap = bytesFrom(1, 24);
const HEAD: Head = {
  kek: "prod-secrets",
  cluster: "prod-eu-1",
  keyId: "prod-secrets.0.abcdefghijklmnop",
  threshold: 1,
  members: [
    { name: "aws", share: 0, wrap },
    { name: "azure", share: 0, openVersion: bytesFrom(2, 16), wrap: bytesFrom(3, 256) },
  ],
};

const name = fc.stringMatching(/^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/);
const blob = (minLength: number, maxLength: number) =>
  fc.uint8Array({ minLength, maxLength }).map((bytes) => Uint8Array.from(bytes));

const anyHead: fc.Arbitrary<Head> = fc
  .record({
    kek: name,
    cluster: name,
    keyId: fc.option(fc.stringMatching(/^[\x21-\x7e]{1,128}$/)),
    names: fc.uniqueArray(name, { minLength: 1, maxLength: 8 }),
    wraps: fc.array(blob(1, 1024), { minLength: 8, maxLength: 8 }),
    versions: fc.array(fc.option(blob(16, 16)), { minLength: 8, maxLength: 8 }),
    wanted: fc.integer({ min: 1, max: 8 }),
  })
  .map(({ kek, cluster, keyId, names, wraps, versions, wanted }) => {
    const threshold = Math.min(wanted, names.length);
    const members = names.map((each, index) => {
      const openVersion = versions[index];
      return {
        name: each,
        share: threshold === 1 ? 0 : index + 1,
        ...(openVersion && { openVersion }),
        wrap: wraps[index] ?? wrap,
      };
    });
    return { kek, cluster, keyId, threshold, members };
  });

describe("the head's codec", () => {
  test("reads back every head it writes", () => {
    const property = fc.property(anyHead, (head) => {
      expect(decodeHead(encodeHead(head))).toEqual(head);
    });
    fc.assert(property);
  });

  test("accepts only bytes that it would write itself", () => {
    const bytes = encodeHead(HEAD);
    const readAndWritten = (changed: Uint8Array<ArrayBuffer>) => {
      try {
        return encodeHead(decodeHead(changed));
      } catch (error) {
        codeOrThrow(error);
        return changed;
      }
    };
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = flipped(bytes, bit);
      expect(equalBytes(readAndWritten(changed), changed), `bit ${bit}`).toBe(true);
    }
  });

  test("throws nothing but EnvelopeErrors at garbage", () => {
    const property = fc.property(blob(0, 400), (bytes) => {
      expect(() => decodeHead(bytes)).toThrow(EnvelopeError);
    });
    fc.assert(property, { numRuns: 2000 });
  });

  test("hands out bytes that the input's owner cannot change any more", () => {
    const bytes = encodeHead(HEAD);
    const head = decodeHead(bytes);
    bytes.fill(0);
    expect(head).toEqual(HEAD);
  });

  test.each<[string, Partial<Head>]>([
    ["a KEK that is no name", { kek: "Prod" }],
    ["a cluster that is no name", { cluster: "" }],
    ["a key id with a control character", { keyId: "a\u0000b" }],
    ["a key id of 129 characters", { keyId: "a".repeat(129) }],
    ["no members", { members: [] }],
    [
      "a member twice",
      {
        members: [
          { name: "aws", share: 0, wrap },
          { name: "aws", share: 0, wrap },
        ],
      },
    ],
    ["an empty wrap", { members: [{ name: "aws", share: 0, wrap: new Uint8Array() }] }],
    [
      "a key version of 8 bytes",
      { members: [{ name: "aws", share: 0, wrap, openVersion: bytesFrom(1, 8) }] },
    ],
    ["a threshold of 0", { threshold: 0 }],
    ["a threshold above its members", { threshold: 3 }],
    ["a share at threshold 1", { members: [{ name: "aws", share: 1, wrap }] }],
  ])("does not write %s", (_, change) => {
    expect(() => encodeHead({ ...HEAD, ...change })).toThrow(TypeError);
  });
});
