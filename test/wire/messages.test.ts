import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import {
  KekStatus,
  UnwrapRequest,
  UnwrapResponse,
  WrapRequest,
  WrapResponse,
} from "../../src/wire/messages.ts";

const base64 = (size: number) => Buffer.alloc(size, 7).toString("base64");
const ids = (value: object) => Object.keys(value);

describe.each([
  ["wrap", WrapRequest, "plaintext", 256],
  ["unwrap", UnwrapRequest, "ciphertext", 4096],
] as const)("a request to %s", (_name, schema, field, max) => {
  const accepts = (body: unknown) => schema.safeParse(body).success;

  it("takes 1 byte and the most there may be", () => {
    expect(accepts({ [field]: base64(1) })).toBe(true);
    expect(accepts({ [field]: base64(max), uid: "b1f0b8a4-0c1c-4c60-8f0b-2f1a3a5d7c1e" })).toBe(true);
  });

  it.each([
    ["nothing", {}],
    ["no bytes", { [field]: "" }],
    ["one byte too many", { [field]: base64(max + 1) }],
    ["base64 that is not canonical", { [field]: "AB==" }],
    ["base64 for URLs", { [field]: "-_-_" }],
    ["a number", { [field]: 1 }],
    ["bytes", { [field]: [1, 2] }],
    ["null", { [field]: null }],
    ["an unknown field", { [field]: base64(1), kek: "prod" }],
    ["a __proto__", JSON.parse(`{"${field}": "AA==", "__proto__": {}}`)],
    ["a uid of 65 characters", { [field]: base64(1), uid: "u".repeat(65) }],
    ["a uid with a line's end", { [field]: base64(1), uid: "a\nb" }],
    ["a uid beyond ASCII", { [field]: base64(1), uid: "ü" }],
    ["a uid that is null", { [field]: base64(1), uid: null }],
    ["a list", [base64(1)]],
    ["a text", base64(1)],
  ])("refuses %s", (_name, body) => expect(accepts(body)).toBe(false));

  it("names the field, never what was in it", () => {
    fc.assert(
      fc.property(fc.stringMatching(/^[a-z]{12,40}!$/), (secret) => {
        const { error } = schema.safeParse({ [field]: secret, uid: `${secret}\n` });
        expect(error?.issues.map(({ path }) => path.join("."))).toContain(field);
        expect(JSON.stringify(error?.issues)).not.toContain(secret);
      }),
    );
  });
});

describe("an answer", () => {
  it.each([
    ["wrap", WrapResponse, { ciphertext: "AA==", keyId: null, degraded: ["aws"] }],
    ["unwrap", UnwrapResponse, { plaintext: "AA==", keyId: "prod.0.abcdefghijklmnop" }],
    [
      "status",
      KekStatus,
      {
        name: "prod",
        keyId: null,
        state: "DEGRADED",
        threshold: 1,
        members: [{ name: "aws", use: "both", state: "unavailable" }],
        lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3600 },
        maxCiphertext: 360,
        features: ["later"],
        config: "00",
      },
    ],
  ])("to %s may have fields of a later version, which are dropped", (_name, schema, answer) => {
    expect(ids(schema.parse({ ...answer, later: 1 }))).toEqual(ids(answer));
  });

  it("has a key id or null, never none", () => {
    expect(WrapResponse.safeParse({ ciphertext: "AA==" }).success).toBe(false);
    expect(UnwrapResponse.safeParse({ plaintext: "AA==" }).success).toBe(false);
  });
});
