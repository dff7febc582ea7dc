import { describe, expect, test } from "vitest";

import { open, readEnvelope } from "../../src/envelope/open.ts";
import type { Primitives } from "../../src/envelope/primitives.ts";
import { webPrimitives } from "../../src/envelope/web-primitives.ts";
import { nodePrimitives } from "../../src/runtime/node-primitives.ts";
import { generateVectors } from "../vectors/generate.ts";
import { tableMember } from "../vectors/table-member.ts";
import { readVectors } from "../vectors/vector.ts";
import type { NegativeVector, PositiveVector } from "../vectors/vector.ts";
import { codeOf } from "./kit.ts";

const vectors = readVectors();

/** By Web Crypto, as on Workers, and by node:crypto. */
const PRIMITIVES = Object.entries({ webPrimitives, nodePrimitives });

const opening = async (
  { request, members, envelope }: PositiveVector | NegativeVector,
  primitives: Primitives,
) => {
  const input = {
    ...request,
    clusters: new Set(request.clusters.split(",")),
    members: members.map(tableMember),
    envelope: readEnvelope(Uint8Array.from(Buffer.from(envelope, "hex"))),
  };
  return open(input, primitives);
};

describe("test vectors", () => {
  test("are what this code makes, to the byte", async () => {
    await expect(await generateVectors()).toMatchFileSnapshot("../vectors/envelope-v1.json");
  });

  test("have names of their own", () => {
    const names = [...vectors.opens, ...vectors.refused].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  describe.each(PRIMITIVES)("with %s", (_name, primitives) => {
    test.each(vectors.opens.map((vector) => [vector.name, vector] as const))(
      "opens: %s",
      async (_, vector) => {
        const { plaintext, keyId, cluster, member } = await opening(vector, primitives);
        expect(Buffer.from(plaintext).toString("hex")).toBe(vector.plaintext);
        expect({ keyId, cluster, opensBy: member.name }).toEqual({
          keyId: vector.keyId,
          cluster: vector.cluster,
          opensBy: vector.opensBy,
        });
      },
    );

    test.each(vectors.refused.map((vector) => [vector.name, vector] as const))(
      "refused: %s",
      async (_, vector) => {
        expect(await codeOf(opening(vector, primitives))).toBe(vector.code);
      },
    );
  });
});
