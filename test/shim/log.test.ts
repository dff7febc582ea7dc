import { expect, test } from "vitest";

import { createLog } from "../../src/shim/log.ts";

test("a line is one JSON object with allow-listed fields, whatever it is given", () => {
  const lines: string[] = [];
  const log = createLog(
    (line) => lines.push(line),
    () => Date.UTC(2027, 0, 1),
  );
  const careless = { code: "Internal", plaintext: "marked", token: "marked", cause: { d: "marked" } };
  log("warn", "request failed", careless);
  const wrong: object = { detail: { secret: "marked" } };
  log("warn", "request failed", wrong);
  expect(JSON.parse(lines[0] ?? "")).toEqual({
    time: "2027-01-01T00:00:00.000Z",
    level: "warn",
    event: "request failed",
    code: "Internal",
  });
  expect(lines.join()).not.toContain("marked");
});

test("a text with line breaks stays on one line, and a long one is cut", () => {
  const lines: string[] = [];
  const log = createLog(
    (line) => lines.push(line),
    () => 0,
  );
  log("info", "started", { detail: `a\nb${"c".repeat(2_000)}` });
  expect(lines[0]).not.toContain("\n");
  expect(lines[0]?.length).toBeLessThan(700);
});
