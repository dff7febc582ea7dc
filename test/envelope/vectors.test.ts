import { describe, expect, test } from "vitest";

import { open } from "../../src/envelope/open.ts";
import { generateVectors } from "../vectors/generate.ts";
import { tableMember } from "../vectors/table-member.ts";
import { readVectors } from "../vectors/vector.ts";
import type { NegativeVector, PositiveVector } from "../vectors/vector.ts";
import { codeOf } from "./kit.ts";

const vectors = readVectors();

const opening = ({ request, members, envelope }: PositiveVector | NegativeVector) =>
  open({
    ...request,
    clusters: new Set(request.clusters.split(",")),
    members: members.map(tableMember),
    envelope: Uint8Array.from(Buffer.from(envelope, "hex")),
  });

describe("test vectors", () => {
  test("are what this code makes, to the byte", async () => {
    await expect(await generateVectors()).toMatchFileSnapshot("../vectors/envelope-v1.json");
  });

  test("have names of their own", () => {
    const names = [...vectors.opens, ...vectors.refused].map(({ name }) => name);
    expect(new Set(names).size).toBe(names.length);
  });

  test.each(vectors.opens.map((vector) => [vector.name, vector] as const))("opens: %s", async (_, vector) => {
    const { plaintext, keyId, cluster, member } = await opening(vector);
    expect(Buffer.from(plaintext).toString("hex")).toBe(vector.plaintext);
    expect({ keyId, cluster, opensBy: member.name }).toEqual({
      keyId: vector.keyId,
      cluster: vector.cluster,
      opensBy: vector.opensBy,
    });
  });

  test.each(vectors.refused.map((vector) => [vector.name, vector] as const))(
    "refused: %s",
    async (_, vector) => {
      expect(await codeOf(opening(vector))).toBe(vector.code);
    },
  );
});
