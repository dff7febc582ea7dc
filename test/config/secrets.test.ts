import { describe, expect, it } from "vitest";

import { formatIssue } from "../../src/wire/issue.ts";
import { EVERYDAY, issuesOf } from "./fixture.ts";

/** 32 bytes in base64, as somebody could paste them anywhere. */
const SECRET = "q83vEjRWeJqrze8SNFZ4mqvN7xI0Vniaq83vEjRWeJo=";
const PIECES = Array.from({ length: SECRET.length - 7 }, (_, start) => SECRET.slice(start, start + 8));
const WITH_LOCAL = `\
${EVERYDAY}
tls: { certFile: a, keyFile: b }
rateLimit: { principal: { perSecond: 1, burst: 1 } }
`.replace(
  "  prod-secrets:\n",
  `  dev:
    threshold: 1
    members:
      local: { local: { keys: [{ version: v1, key: "${"A".repeat(43)}=" }], primary: v1 } }
    lease: { maxAge: 10m }
  prod-secrets:
`,
);

const WORDS = [...WITH_LOCAL.matchAll(/[\w./:=-]+/g)];

/** The lines that tell a piece of the secret. */
function leaksOf(text: string): string[] {
  const told = issuesOf(text).map(formatIssue);
  return told.filter((line) => PIECES.some((piece) => line.includes(piece)));
}

describe("a key pasted into a configuration", { timeout: 30_000 }, () => {
  it("starts from a configuration that says nothing but that local keys are for development", () => {
    expect(issuesOf(WITH_LOCAL, { allowDevelopmentKeys: true })).toEqual([]);
    expect(issuesOf(WITH_LOCAL)).toHaveLength(1);
  });

  it("is told by no message, between whatever it stands", () => {
    const between = [...WITH_LOCAL.matchAll(/(?<!\w)|(?!\w)/g)];
    const leaks = between.map(({ index }) =>
      leaksOf(`${WITH_LOCAL.slice(0, index)}${SECRET}${WITH_LOCAL.slice(index)}`),
    );
    expect(between.length).toBeGreaterThan(WORDS.length);
    expect(leaks.flat()).toEqual([]);
  });

  it("is told by no message in place of any word", () => {
    const leaks = WORDS.map(({ index, 0: word }) =>
      leaksOf(`${WITH_LOCAL.slice(0, index)}${SECRET}${WITH_LOCAL.slice(index + word.length)}`),
    );
    expect(leaks.flat()).toEqual([]);
  });
});
