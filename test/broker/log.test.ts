import { describe, expect, it } from "vitest";

import { logLine, type LogEvent } from "../../src/broker/log.ts";

describe("a log line", () => {
  it("is one line of JSON with its time", () => {
    expect(logLine({ level: "info", event: "request", status: 200, method: "GET" }, 0)).toBe(
      '{"time":"1970-01-01T00:00:00.000Z","level":"info","event":"request","method":"GET","status":200}',
    );
  });

  it("leaves out fields it does not know, and values that are not plain", () => {
    const event = { level: "info", event: "request", plaintext: "AAAA", kek: { nested: 1 }, member: ["x"] };
    expect(logLine(event as unknown as LogEvent, 0)).not.toMatch(/AAAA|nested|member/);
  });

  it("cuts long values, and breaks no line", () => {
    const line = logLine({ level: "warn", event: "request", reason: `a\nb${"x".repeat(500)}` }, 0);
    expect(line).not.toContain("\n");
    expect(line.length).toBeLessThan(400);
  });
});
