import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { Duration } from "../../src/wire/duration.ts";

describe("a duration", () => {
  it.each([
    ["30s", 30],
    ["10m", 600],
    ["24h", 86_400],
    ["7d", 604_800],
    ["9999999d", 863_999_913_600],
  ])("of %s is so many seconds", (text, seconds) => expect(Duration.parse(text)).toBe(seconds));

  it("is a whole number of seconds that a clock in milliseconds can hold", () => {
    const texts = fc.tuple(fc.integer({ min: 1, max: 9_999_999 }), fc.constantFrom("s", "m", "h", "d"));
    fc.assert(
      fc.property(texts, ([count, unit]) => {
        const seconds = Duration.parse(`${count}${unit}`);
        expect(Number.isSafeInteger(seconds * 1000)).toBe(true);
        expect(seconds % count).toBe(0);
      }),
    );
  });

  it.each([
    "",
    "0s",
    "01s",
    "10",
    "10 m",
    "-1s",
    "1.5h",
    "1w",
    "1H",
    "1h30m",
    "10000000s",
    "1s\n",
    "PT1H",
    10,
    null,
  ])("is not %j", (text) => expect(Duration.safeParse(text).success).toBe(false));
});
