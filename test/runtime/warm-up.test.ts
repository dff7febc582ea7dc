import { describe, expect, it } from "vitest";

import type { LogEvent } from "../../src/broker/log.ts";
import { bounded } from "../../src/kms/bounded.ts";
import type { KeyProvider } from "../../src/kms/key-provider.ts";
import { warmUp } from "../../src/runtime/warm-up.ts";
import { fakeProvider } from "../broker/fake-provider.ts";

async function warm(provider: KeyProvider, limitMs?: number): Promise<LogEvent[]> {
  const events: LogEvent[] = [];
  const providers = new Map([["prod-secrets", new Map([["aws", provider]])]]);
  await warmUp(providers, (event) => events.push(event), limitMs);
  return events;
}

describe("a broker that starts", () => {
  it("asks each member once", async () => {
    const provider = fakeProvider();
    expect(await warm(provider)).toEqual([]);
    expect(provider.calls).toEqual([{ call: "version", requestId: "start" }]);
  });

  it("waits for one that takes longer than a call may", async () => {
    const provider = fakeProvider();
    let loads: (() => void) | undefined;
    const loaded = new Promise<void>((resolve) => (loads = resolve));
    const currentVersion: KeyProvider["currentVersion"] = async (call) => {
      const version = await provider.currentVersion(call);
      if (provider.calls.length === 3) loads?.();
      await loaded;
      return version;
    };
    const events = await warm(bounded({ ...provider, currentVersion }, { deadlineMs: 20 }));
    expect(provider.calls).toHaveLength(3);
    expect(events).toEqual([]);
  });

  it("does not wait for one that never answers, and says so", async () => {
    const provider = fakeProvider();
    provider.faults = { version: "hang" };
    const events = await warm(bounded(provider), 50);
    expect(events).toEqual([
      expect.objectContaining({ event: "member-failed", member: "aws", result: "Timeout" }),
    ]);
  });

  it("does not ask one again that refused, and says why", async () => {
    const provider = fakeProvider();
    provider.faults = { version: "AccessDenied" };
    expect(await warm(provider)).toMatchObject([
      { kek: "prod-secrets", member: "aws", result: "AccessDenied", error: expect.any(String) },
    ]);
    expect(provider.calls).toHaveLength(1);
  });
});
