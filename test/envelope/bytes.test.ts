import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { equalBytes, equalConstantTime } from "../../src/envelope/bytes.ts";
import { flipped } from "./kit.ts";

describe.each([
  ["equalConstantTime", equalConstantTime],
  ["equalBytes", equalBytes],
])("%s", (_, equal) => {
  test("holds for equal bytes in different buffers", () => {
    const property = fc.property(fc.uint8Array(), (bytes) => {
      expect(equal(bytes, bytes.slice())).toBe(true);
    });
    fc.assert(property);
  });

  test("fails for any one bit", () => {
    const cases = fc
      .uint8Array({ minLength: 1 })
      .chain((bytes) => fc.tuple(fc.constant(bytes), fc.nat(bytes.length * 8 - 1)));
    const property = fc.property(cases, ([bytes, bit]) => {
      expect(equal(bytes, flipped(bytes, bit))).toBe(false);
    });
    fc.assert(property);
  });

  test("fails for a prefix and for what goes on with zeros", () => {
    const bytes = Uint8Array.of(1, 2, 3);
    expect(equal(bytes, bytes.slice(0, 2))).toBe(false);
    expect(equal(bytes.slice(0, 2), bytes)).toBe(false);
    expect(equal(bytes, Uint8Array.of(1, 2, 3, 0))).toBe(false);
    expect(equal(new Uint8Array(), bytes)).toBe(false);
  });
});
