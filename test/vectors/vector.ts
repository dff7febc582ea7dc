import { readFileSync } from "node:fs";
import * as z from "zod";

const Hex = z.string().regex(/^([0-9a-f]{2})*$/);

/** A member as a table: a wrap that is not in it is refused for good. */
const VectorMember = z.strictObject({
  name: z.string(),
  symmetric: z.boolean(),
  available: z.boolean(),
  wraps: z.array(z.strictObject({ wrap: Hex, openVersion: Hex, unwrapsTo: Hex })).readonly(),
});
export type VectorMember = z.infer<typeof VectorMember>;

/** What the opener was asked, and how its KEK is configured. */
const VectorRequest = z.strictObject({
  kek: z.string(),
  /** Accepted cluster ids, comma-separated. */
  clusters: z.string(),
  minThreshold: z.int(),
  allowRsaOnly: z.boolean(),
});
export type VectorRequest = z.infer<typeof VectorRequest>;

const vector = {
  name: z.string(),
  request: VectorRequest,
  /** The configured members, in order. */
  members: z.array(VectorMember).readonly(),
  envelope: Hex,
};

const PositiveVector = z.strictObject({
  ...vector,
  opensBy: z.string(),
  plaintext: Hex,
  keyId: z.string().nullable(),
  cluster: z.string(),
  /** Everything in between, so that a second implementation can find its first wrong step. */
  steps: z.strictObject({
    w: Hex,
    head: Hex,
    salt: Hex,
    prk: Hex,
    key: Hex,
    commitment: Hex,
    ciphertext: Hex,
  }),
});
export type PositiveVector = z.infer<typeof PositiveVector>;

const NegativeVector = z.strictObject({ ...vector, code: z.string() });
export type NegativeVector = z.infer<typeof NegativeVector>;

/** The file of test vectors, as it lies in envelope-v1.json. Bytes are lower-case hex. */
const VectorFile = z.strictObject({
  about: z.string(),
  opens: z.array(PositiveVector).readonly(),
  refused: z.array(NegativeVector).readonly(),
});
export type VectorFile = z.infer<typeof VectorFile>;

const VECTORS_FILE = new URL("envelope-v1.json", import.meta.url);

export function readVectors(): VectorFile {
  return VectorFile.parse(JSON.parse(readFileSync(VECTORS_FILE, "utf8")));
}
