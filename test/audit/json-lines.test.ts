import { describe, expect, it } from "vitest";

import type { Intent, Outcome } from "../../src/audit/entry.ts";
import { createLineRecorder } from "../../src/audit/json-lines.ts";

const intent: Intent = {
  kind: "intent",
  id: "1",
  time: "2026-11-24T12:00:00.000Z",
  requestId: "r\n1",
  operation: "wrap",
  principal: { kind: "node", cluster: "c", subject: "c/n", authority: "t" },
  kek: "k",
  cluster: "c",
  config: "d",
};
const outcome: Outcome = {
  kind: "outcome",
  id: "1",
  time: intent.time,
  requestId: "r",
  result: "ok",
  members: [],
};
const never = new AbortController().signal;

describe("the line recorder", () => {
  it("writes each entry as one line of JSON", async () => {
    const lines: string[] = [];
    const recorder = createLineRecorder(
      async (line) => void lines.push(line),
      () => {},
    );
    await recorder.intent(intent, never);
    await recorder.outcome(outcome);
    expect(lines.map((line) => JSON.parse(line) as unknown)).toEqual([intent, outcome]);
    expect(lines.join("")).not.toContain("\n");
  });

  it("passes an intent's failure on, and its signal", async () => {
    const signals: unknown[] = [];
    const recorder = createLineRecorder(
      (_, signal) => {
        signals.push(signal);
        return Promise.reject(new Error("disk full"));
      },
      () => {},
    );
    await expect(recorder.intent(intent, never)).rejects.toThrow("disk full");
    expect(signals).toEqual([never]);
  });

  it("writes no intent whose time is over", async () => {
    const lines: string[] = [];
    const recorder = createLineRecorder(
      async (line) => void lines.push(line),
      () => {},
    );
    await expect(recorder.intent(intent, AbortSignal.abort())).rejects.toThrow();
    expect(lines).toEqual([]);
  });

  it.each([
    ["rejects", () => Promise.reject(new Error("disk full"))],
    [
      "throws",
      () => {
        throw new Error("disk full");
      },
    ],
  ])("tells of an outcome that is lost when the writer %s, and does not fail", async (_, write) => {
    const lost: unknown[] = [];
    await createLineRecorder(write, (cause) => void lost.push(cause)).outcome(outcome);
    expect(lost).toEqual([new Error("disk full")]);
  });
});
