import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { decodeBase64, encodeBase64, encodeBase64Url } from "../../src/wire/base64.ts";

const bytes = fc.uint8Array({ maxLength: 600 });

describe("base64", () => {
  it("encodes as Node does, in either alphabet", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(encodeBase64(value)).toBe(Buffer.from(value).toString("base64"));
        expect(encodeBase64Url(value)).toBe(Buffer.from(value).toString("base64url"));
      }),
    );
  });

  it("decodes what it encodes", () => {
    fc.assert(
      fc.property(bytes, (value) => {
        expect(decodeBase64(encodeBase64(value))).toEqual(new Uint8Array(value));
      }),
    );
  });

  it("decodes a text only if that is the one text of its bytes", () => {
    const nearly = fc.string({ unit: fc.constantFrom(...Array.from("AQgw+/9z=-_ \n")), maxLength: 12 });
    fc.assert(
      fc.property(nearly, (text) => {
        const decoded = decodeBase64(text);
        const isCanonical = Buffer.from(text, "base64").toString("base64") === text;
        expect(decoded !== undefined).toBe(isCanonical);
      }),
      { numRuns: 2000 },
    );
  });

  it.each([
    ["stray bits", "AB=="],
    ["stray bits before one pad", "AAB="],
    ["no padding", "AAA"],
    ["only padding", "===="],
    ["padding within", "AA==AAAA"],
    ["too much padding", "A==="],
    ["white space", "AA AA"],
    ["a line's end", "AAAA\n"],
    ["the URL's alphabet", "-_-_"],
    ["letters of another alphabet", "ААAA"],
  ])("refuses %s", (_name, text) => expect(decodeBase64(text)).toBeUndefined());

  it("takes nothing for no bytes", () => expect(decodeBase64("")).toEqual(new Uint8Array()));
});
