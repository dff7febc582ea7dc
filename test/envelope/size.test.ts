import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as z from "zod";

import { maxEnvelopeBytes } from "../../src/envelope/size.ts";
import type { EnvelopeShape } from "../../src/envelope/size.ts";
import { bytesFrom, sealFor } from "./kit.ts";

const Recorded = z.object({ bytes: z.int() });
const WrapLengths = z.object({
  services: z.object({
    awsKms: Recorded,
    gcpKms: Recorded,
    rsa2048: Recorded,
    rsa3072: Recorded,
    rsa4096: Recorded,
  }),
});
const { services } = WrapLengths.parse(
  JSON.parse(readFileSync(new URL("../vectors/wrap-lengths.json", import.meta.url), "utf8")),
);
type Service = keyof typeof services;

/** As long as the budget's names may be. */
const TWELVE = "twelve-chars";
/** `<kek>.<epoch>.<16>`, with an epoch of up to 99,999. */
const KEY_ID_LENGTH = TWELVE.length + 1 + 5 + 1 + 16;

function shapeOf(members: readonly Service[]): EnvelopeShape {
  return {
    kek: TWELVE,
    cluster: TWELVE,
    keyIdLength: KEY_ID_LENGTH,
    threshold: 1,
    members: members.map((service, index) => ({
      name: `twelve-cha-${index}`,
      maxWrapBytes: services[service].bytes,
      needsVersionToUnwrap: service.startsWith("rsa"),
    })),
    plaintextBytes: 32,
  };
}

describe("the size of an envelope with lengths recorded from the real services", () => {
  test.each<{ members: readonly Service[]; bytes: number; budget: number }>([
    { members: ["awsKms"], bytes: 360, budget: 360 },
    { members: ["gcpKms"], bytes: 289, budget: 360 },
    { members: ["awsKms", "gcpKms", "rsa2048"], bytes: 787, budget: 800 },
    { members: ["awsKms", "gcpKms", "rsa3072"], bytes: 915, budget: 930 },
  ])("$members: $bytes of at most $budget bytes", ({ members, bytes, budget }) => {
    expect(maxEnvelopeBytes(shapeOf(members))).toBe(bytes);
    expect(bytes).toBeLessThanOrEqual(budget);
  });

  test("passes what kube-apiserver takes with RSA-4096", () => {
    expect(maxEnvelopeBytes(shapeOf(["awsKms", "gcpKms", "rsa4096"]))).toBe(1043);
  });
});

describe("the bound", () => {
  test.each([
    [1, 1],
    [1, 256],
    [4, 32],
    [8, 256],
  ])("is what an envelope of %i members and %i bytes takes", async (count, plaintextBytes) => {
    const members = Array.from({ length: count }, (_, index) => {
      const openVersion = index % 2 === 0 ? undefined : bytesFrom(index, 16);
      const wrap = bytesFrom(index, 100 + index);
      return {
        name: `member-${index}`,
        symmetric: true,
        wrap: async () => (openVersion ? { wrap, openVersion } : { wrap }),
        unwrap: async () => ({ plaintext: bytesFrom(77, 32), keyVersion: "1" }),
      };
    });
    const { envelope, keyId } = await sealFor({ members, plaintext: bytesFrom(4, plaintextBytes) });
    const bound = maxEnvelopeBytes({
      kek: "prod-secrets",
      cluster: "prod-eu-1",
      keyIdLength: keyId?.length ?? 0,
      threshold: 1,
      members: members.map(({ name }, index) => ({
        name,
        maxWrapBytes: 100 + index,
        needsVersionToUnwrap: index % 2 === 1,
      })),
      plaintextBytes,
    });
    expect(envelope.length).toBe(bound);
  });

  test("counts shares where the threshold is above 1", () => {
    const shape = shapeOf(["awsKms", "gcpKms"]);
    expect(maxEnvelopeBytes({ ...shape, threshold: 2 })).toBe(maxEnvelopeBytes(shape) + 4);
  });

  test.each([0, 257])("is not asked for %i bytes", (plaintextBytes) => {
    expect(() => maxEnvelopeBytes({ ...shapeOf(["awsKms"]), plaintextBytes })).toThrow(RangeError);
  });
});
