import { createHash, createHmac, hkdfSync } from "node:crypto";

import { decodeEnvelope } from "../../src/envelope/envelope.ts";
import type { EnvelopeMember } from "../../src/envelope/member.ts";
import { open, readEnvelope } from "../../src/envelope/open.ts";
import { seal } from "../../src/envelope/seal.ts";
import { stream } from "./stream.ts";
import { tableMember } from "./table-member.ts";
import type { PositiveVector, VectorMember } from "./vector.ts";

const hex = (part: Uint8Array) => Buffer.from(part).toString("hex");

interface Recipe {
  readonly name: string;
  readonly kek?: string;
  readonly cluster?: string;
  readonly keyId?: string | null;
  readonly plaintextBytes?: number;
  readonly allowRsaOnly?: boolean;
  /** Configured and wrapping, in order. */
  readonly members: readonly RecipeMember[];
  /** Configured when opening, where that differs: names in order, those unavailable marked with `!`. */
  readonly configured?: readonly string[];
}

interface RecipeMember {
  readonly name: string;
  readonly wrapBytes: number;
  readonly rsa?: true;
}

const aws = { name: "aws", wrapBytes: 184 };
const gcp = { name: "gcp", wrapBytes: 113 };
const azure = { name: "azure", wrapBytes: 256, rsa: true } as const;

const RECIPES: readonly Recipe[] = [
  { name: "one symmetric member", members: [aws] },
  { name: "one RSA member, its version in the head", members: [azure] },
  { name: "three members, the first opens", members: [aws, gcp, azure] },
  {
    name: "three members, the first is away",
    members: [aws, gcp, azure],
    configured: ["!aws", "gcp", "azure"],
  },
  { name: "only RSA is left", members: [aws, gcp, azure], configured: ["!aws", "!gcp", "azure"] },
  { name: "symmetric members are asked first", members: [azure, gcp], configured: ["azure", "gcp"] },
  { name: "the configuration's order decides", members: [aws, gcp], configured: ["gcp", "aws"] },
  { name: "members that are not configured are passed over", members: [aws, gcp], configured: ["gcp"] },
  { name: "no key id", keyId: null, members: [aws] },
  { name: "a plaintext of 1 byte", plaintextBytes: 1, members: [gcp] },
  { name: "a plaintext of 256 bytes", plaintextBytes: 256, members: [gcp] },
  {
    name: "the longest names, wrap and key id",
    kek: "k".repeat(40),
    cluster: "c".repeat(40),
    keyId: "~".repeat(128),
    members: [{ name: "m".repeat(40), wrapBytes: 1024 }],
  },
  {
    name: "the shortest names and wrap",
    kek: "k",
    cluster: "c",
    keyId: "!",
    members: [{ name: "m", wrapBytes: 1 }],
  },
  {
    name: "eight members",
    members: Array.from({ length: 8 }, (_, index) => ({ name: `m-${index}`, wrapBytes: 20 + index })),
  },
];

/** Envelopes that must open, with every step on the way. */
export function opensVectors(): Promise<readonly PositiveVector[]> {
  return Promise.all(RECIPES.map(positive));
}

async function positive(recipe: Recipe): Promise<PositiveVector> {
  const {
    name,
    kek = "prod-secrets",
    cluster = "prod-eu-1",
    keyId = "prod-secrets.0.abcdefghijklmnop",
  } = recipe;
  const w = stream(`${name}/w`, 32);
  const plaintext = stream(`${name}/plaintext`, recipe.plaintextBytes ?? 32);
  const tables = recipe.members.map((member) => tableOf(name, member, w));
  const { envelope } = await seal({
    kek,
    cluster,
    threshold: 1,
    wrapQuorum: 1,
    members: tables.map(wrapping),
    plaintext,
    keyIdOf: () => keyId,
    random: () => w.slice(),
  });
  const members = configuredFrom(tables, recipe.configured);
  const request = { kek, clusters: cluster, minThreshold: 1, allowRsaOnly: recipe.allowRsaOnly ?? false };
  const read = readEnvelope(envelope);
  const opened = await open({
    ...request,
    envelope: read,
    clusters: new Set([cluster]),
    members: members.map(tableMember),
  });
  return {
    name,
    request,
    members,
    opensBy: opened.member.name,
    plaintext: hex(plaintext),
    keyId,
    cluster: read.head.cluster,
    steps: stepsOf(w, envelope),
    envelope: hex(envelope),
  };
}

function tableOf(vector: string, { name, wrapBytes, rsa }: RecipeMember, w: Uint8Array): VectorMember {
  const wrap = hex(stream(`${vector}/${name}/wrap`, wrapBytes));
  const openVersion = rsa ? hex(stream(`${vector}/${name}/version`, 16)) : "";
  return {
    name,
    symmetric: rsa !== true,
    available: true,
    wraps: [{ wrap, openVersion, unwrapsTo: hex(w) }],
  };
}

/** Wraps to what its table holds. */
function wrapping(table: VectorMember): EnvelopeMember {
  const [entry] = table.wraps;
  if (entry === undefined) throw new Error("a wrapping member needs a wrap");
  const wrap = Uint8Array.from(Buffer.from(entry.wrap, "hex"));
  const openVersion = Uint8Array.from(Buffer.from(entry.openVersion, "hex"));
  const made = openVersion.length > 0 ? { wrap, openVersion } : { wrap };
  return { ...tableMember(table), wrap: async () => made };
}

function configuredFrom(
  tables: readonly VectorMember[],
  marked?: readonly string[],
): readonly VectorMember[] {
  if (marked === undefined) return tables;
  return marked.map((mark) => {
    const table = tables.find(({ name }) => name === mark.replace("!", ""));
    if (table === undefined) throw new Error(`no member ${mark}`);
    return { ...table, available: !mark.startsWith("!") };
  });
}

/** By node:crypto, not by the code under test. */
function stepsOf(w: Uint8Array, envelope: Uint8Array<ArrayBuffer>): PositiveVector["steps"] {
  const { head, commitment, ciphertext } = decodeEnvelope(envelope);
  const salt = createHash("sha256").update(head).digest();
  return {
    w: hex(w),
    head: hex(head),
    salt: hex(salt),
    prk: createHmac("sha256", salt).update(w).digest("hex"),
    key: hex(new Uint8Array(hkdfSync("sha256", w, salt, "kek-broker/v1/key", 32))),
    commitment: hex(commitment),
    ciphertext: hex(ciphertext),
  };
}
