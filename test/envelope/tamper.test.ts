import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { EnvelopeError } from "../../src/envelope/envelope-error.ts";
import { readHead } from "../../src/envelope/open.ts";
import { DEK, bytesFrom, codeOf, codeOrThrow, flipped, openFor, sealFor } from "./kit.ts";
import { fakeMember, stubbornMember, unreachable } from "./members.ts";

const W = bytesFrom(77, 32);

/** Codes that a damaged envelope may be refused with, each before anything is released. */
const REFUSALS = new Set([
  "InvalidEnvelope",
  "UnsupportedVersion",
  "UnsupportedOperation",
  "SealedByAnotherCluster",
  "UnknownMembers",
]);

const fourMembers = () =>
  ["aws", "gcp", "azure", "local"].map((name) =>
    fakeMember(name, {
      symmetric: name !== "azure",
      ...(name === "azure" && { openVersion: bytesFrom(9, 16) }),
    }),
  );

describe("every single bit turned over is refused", () => {
  test("in an envelope of one member", { timeout: 30_000 }, async () => {
    const members = [fakeMember("aws")];
    const { envelope } = await sealFor({ members });
    for (let bit = 0; bit < envelope.length * 8; bit++) {
      const code = await codeOf(openFor({ envelope: flipped(envelope, bit), members }));
      expect(REFUSALS, `bit ${bit}: ${code}`).toContain(code);
    }
  });

  test(
    "in an envelope of four, also in wraps that are not used to open it",
    { timeout: 30_000 },
    async () => {
      const members = fourMembers();
      const { envelope } = await sealFor({ members });
      for (let bit = 0; bit < envelope.length * 8; bit++) {
        const code = await codeOf(openFor({ envelope: flipped(envelope, bit), members }));
        expect(REFUSALS, `bit ${bit}: ${code}`).toContain(code);
      }
    },
  );

  test("even if the member opens every wrap to the right W", { timeout: 30_000 }, async () => {
    const { envelope } = await sealFor({ members: fourMembers() });
    const members = fourMembers().map(({ name }) => stubbornMember(name, W));
    expect((await openFor({ envelope, members })).plaintext).toEqual(DEK);
    for (let bit = 0; bit < envelope.length * 8; bit++) {
      const code = await codeOf(openFor({ envelope: flipped(envelope, bit), members }));
      expect(REFUSALS, `bit ${bit}: ${code}`).toContain(code);
    }
  });
});

describe("length", () => {
  test("truncated anywhere, it is refused", { timeout: 30_000 }, async () => {
    const members = fourMembers();
    const { envelope } = await sealFor({ members });
    for (let length = 0; length < envelope.length; length++) {
      expect(await codeOf(openFor({ envelope: envelope.slice(0, length), members }))).toBe("InvalidEnvelope");
    }
  });

  test("with anything behind or before it, it is refused", async () => {
    const members = [fakeMember("aws")];
    const { envelope } = await sealFor({ members });
    for (let byte = 0; byte < 256; byte++) {
      for (const changed of [Uint8Array.of(...envelope, byte), Uint8Array.of(byte, ...envelope)]) {
        expect(await codeOf(openFor({ envelope: changed, members }))).toBe("InvalidEnvelope");
      }
    }
  });

  test("doubled, it is refused", async () => {
    const members = [fakeMember("aws")];
    const { envelope } = await sealFor({ members });
    expect(await codeOf(openFor({ envelope: Uint8Array.of(...envelope, ...envelope), members }))).toBe(
      "InvalidEnvelope",
    );
  });
});

test("no wrap can be moved from one envelope into another", async () => {
  const members = [fakeMember("aws")];
  const one = await sealFor({ members });
  const two = await sealFor({ members, random: (length) => bytesFrom(78, length) });
  const [from, to] = [one, two].map(
    ({ envelope }) => readHead(envelope).members[0]?.wrap ?? new Uint8Array(),
  );
  const at = indexOf(two.envelope, to ?? new Uint8Array());
  const spliced = two.envelope.slice();
  spliced.set(from ?? new Uint8Array(), at);
  expect(await codeOf(openFor({ envelope: spliced, members }))).toBe("InvalidEnvelope");
});

function indexOf(bytes: Uint8Array, part: Uint8Array): number {
  return bytes.findIndex((_, start) => part.every((byte, index) => bytes[start + index] === byte));
}

describe("properties", () => {
  const names = ["aws", "gcp", "local", "vault"];
  const run = fc.record({
    plaintext: fc.uint8Array({ minLength: 1, maxLength: 256 }).map((bytes) => Uint8Array.from(bytes)),
    w: fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => Uint8Array.from(bytes)),
    count: fc.integer({ min: 1, max: 4 }),
    awayWhenSealing: fc.subarray(names),
    awayWhenOpening: fc.subarray(names),
  });

  test("whatever is sealed opens again exactly when a member of the envelope is there", async () => {
    const property = fc.asyncProperty(
      run,
      async ({ plaintext, w, count, awayWhenSealing, awayWhenOpening }) => {
        const configured = names.slice(0, count);
        const present = (away: readonly string[]) =>
          configured.map((name) => (away.includes(name) ? unreachable(fakeMember(name)) : fakeMember(name)));
        const wrapped = configured.filter((name) => !awayWhenSealing.includes(name));
        const opener = wrapped.find((name) => !awayWhenOpening.includes(name));
        const sealing = sealFor({ members: present(awayWhenSealing), plaintext, random: () => w.slice() });
        const round = async () => {
          const { envelope } = await sealing;
          const opened = await openFor({ envelope, members: present(awayWhenOpening) });
          return { plaintext: opened.plaintext, opener: opened.member.name };
        };
        const expected = opener === undefined ? "Unavailable" : { plaintext, opener };
        expect(await round().catch(codeOrThrow)).toEqual(expected);
      },
    );
    await fc.assert(property, { numRuns: 300 });
  });

  test("garbage leads to an EnvelopeError and never to a member", async () => {
    const member = fakeMember("aws");
    const garbage = fc.uint8Array({ maxLength: 5000 }).map((bytes) => Uint8Array.from(bytes));
    const property = fc.asyncProperty(garbage, async (envelope) => {
      await expect(openFor({ envelope, members: [member] })).rejects.toThrow(EnvelopeError);
    });
    await fc.assert(property, { numRuns: 1000 });
    expect(member.calls).toEqual([]);
  });

  test("a true envelope with any bytes overwritten is refused", async () => {
    const members = [fakeMember("aws"), fakeMember("gcp")];
    const { envelope } = await sealFor({ members });
    const patch = fc.record({
      at: fc.nat(envelope.length - 1),
      bytes: fc.uint8Array({ minLength: 1, maxLength: 64 }),
    });
    const property = fc.asyncProperty(patch, async ({ at, bytes }) => {
      const changed = envelope.slice();
      changed.set(bytes.slice(0, envelope.length - at), at);
      fc.pre(changed.some((byte, index) => byte !== envelope[index]));
      await expect(openFor({ envelope: changed, members })).rejects.toThrow(EnvelopeError);
    });
    await fc.assert(property, { numRuns: 1000 });
  });
});
