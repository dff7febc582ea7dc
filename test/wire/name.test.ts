import { describe, expect, it } from "vitest";

import { Duration } from "../../src/wire/duration.ts";
import { Name } from "../../src/wire/name.ts";

describe("a name", () => {
  it.each(["a", "0", "prod-eu-1", "a--b", "x".repeat(40)])("may be %s", (text) =>
    expect(Name.safeParse(text).success).toBe(true),
  );

  it.each([
    "",
    "-",
    "-a",
    "a-",
    "A",
    "a_b",
    "a.b",
    "a/b",
    "a b",
    "a\n",
    "ä",
    "а",
    "x".repeat(41),
    "__proto__",
    1,
    null,
  ])("may not be %j", (text) => expect(Name.safeParse(text).success).toBe(false));
});

describe("a duration", () => {
  it.each([
    ["1s", 1],
    ["90m", 5400],
    ["24h", 86_400],
    ["7d", 604_800],
    ["9999999d", 863_999_913_600],
  ])("reads %s as %i seconds", (text, seconds) => expect(Duration.parse(text)).toBe(seconds));

  it.each([
    "",
    "0s",
    "01s",
    "1",
    "s",
    "1.5h",
    "-1s",
    "1 s",
    "1h30m",
    "1S",
    "1w",
    "10000000d",
    "1s\n",
    "١s",
    60,
    null,
  ])("refuses %j", (text) => expect(Duration.safeParse(text).success).toBe(false));
});
