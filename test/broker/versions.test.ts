import { describe, expect, it } from "vitest";

import type { LogEvent } from "../../src/broker/log.ts";
import { NO_METRICS } from "../../src/broker/metrics.ts";
import { createVersions, type Versions } from "../../src/broker/versions.ts";
import { fakeProvider, type FakeProvider } from "./fake-provider.ts";

const never = new AbortController().signal;

function setup(...names: string[]) {
  const clock = { now: 0 };
  const providers = new Map(names.map((name) => [name, fakeProvider()]));
  const events: LogEvent[] = [];
  const log = (event: LogEvent): void => void events.push(event);
  const versions = createVersions({ now: () => clock.now, metrics: NO_METRICS, log });
  const read = (signal = never) => versions.read("k", providers, signal, "request-1");
  const member = (name: string): FakeProvider => {
    const provider = providers.get(name);
    if (provider === undefined) throw new Error("no such member");
    return provider;
  };
  return { clock, events, providers, versions, read, member };
}

const reading = async (versions: Versions, name: string) => versions.known("k").get(name);

describe("versions", () => {
  it("are read from every member, with the caller's request id", async () => {
    const { read, member } = setup("a", "b");
    member("b").version = "version-2";
    expect([...(await read())]).toEqual([
      ["a", { state: "available", version: "version-1" }],
      ["b", { state: "available", version: "version-2" }],
    ]);
    expect(member("a").calls).toEqual([{ call: "version", requestId: "request-1" }]);
  });

  it("that could not be read are in the log, with what the provider says of it", async () => {
    const { events, read, member } = setup("a", "b");
    member("b").faults = { version: "AccessDenied" };
    await read();
    expect(events).toEqual([
      {
        level: "warn",
        event: "member-failed",
        kek: "k",
        member: "b",
        result: "AccessDenied",
        error: "fake: AccessDenied",
        requestId: "request-1",
      },
    ]);
  });

  it("that fail by a defect are in the log without its text", async () => {
    const { events, read, member, providers } = setup("a");
    const currentVersion = () => Promise.reject(new TypeError("a secret"));
    providers.set("a", { ...member("a"), currentVersion });
    await read();
    expect(events).toMatchObject([{ event: "member-failed", result: "Internal" }]);
    expect(JSON.stringify(events)).not.toContain("secret");
  });

  it("are remembered for 30 s", async () => {
    const { clock, read, member } = setup("a");
    await read();
    clock.now = 29_999;
    await read();
    expect(member("a").calls).toHaveLength(1);
    clock.now = 30_000;
    member("a").version = "version-2";
    expect((await read()).get("a")?.version).toBe("version-2");
  });

  it("are read anew 30 s after the clock was set back, however far", async () => {
    const { clock, read, member } = setup("a");
    await read();
    clock.now = -3_600_000;
    await read();
    clock.now += 30_000;
    await read();
    expect(member("a").calls).toHaveLength(2);
  });

  it("are read once for callers at the same time", async () => {
    const { read, member } = setup("a");
    await Promise.all([read(), read(), read()]);
    expect(member("a").calls).toHaveLength(1);
  });

  it.each([
    ["Timeout", "unavailable"],
    ["Unavailable", "unavailable"],
    ["Throttled", "unavailable"],
    ["AccessDenied", "unavailable"],
    ["KeyUnavailable", "disabled"],
    ["defect", "unavailable"],
  ] as const)("are kept as last known when a member answers %s", async (fault, state) => {
    const { clock, read, member } = setup("a");
    await read();
    clock.now = 30_000;
    member("a").faults = { version: fault };
    expect((await read()).get("a")).toEqual({ state, version: "version-1" });
  });

  it("are unknown for a member that never answered", async () => {
    const { read, member } = setup("a");
    member("a").faults = { version: "Timeout" };
    expect((await read()).get("a")).toEqual({ state: "unavailable", version: undefined });
  });

  it("are answered as known when the caller's time ends, and the reading goes on", async () => {
    const { clock, read, member } = setup("a");
    await read();
    clock.now = 30_000;
    member("a").faults = { version: "hang" };
    const hurry = new AbortController();
    const answer = read(hurry.signal);
    hurry.abort();
    expect((await answer).get("a")).toEqual({ state: "available", version: "version-1" });
  });

  it("of a member that hangs are given up, and read again", async () => {
    const { clock, read, member } = setup("a");
    member("a").faults = { version: "hang" };
    expect((await read()).get("a")?.state).toBe("unavailable");
    member("a").faults = {};
    clock.now = 30_000;
    expect((await read()).get("a")?.state).toBe("available");
  });

  it("that are not known are read again soon, and ever later", async () => {
    const { clock, read, member } = setup("a", "b");
    member("b").faults = { version: "Timeout" };
    const readAt: number[] = [];
    for (; clock.now < 60_000; clock.now += 500) {
      const before = member("b").calls.length;
      await read();
      if (member("b").calls.length > before) readAt.push(clock.now / 1000);
    }
    expect(readAt).toEqual([0, 1, 3, 7, 15, 31, 47]);
    member("b").faults = {};
    clock.now = 63_000;
    expect((await read()).get("b")).toEqual({ state: "available", version: "version-1" });
    member("b").faults = { version: "Timeout" };
    clock.now = 92_999;
    expect((await read()).get("b")?.state).toBe("available");
    clock.now = 93_000;
    expect((await read()).get("b")).toEqual({ state: "unavailable", version: "version-1" });
    clock.now = 122_999;
    member("b").faults = {};
    expect((await read()).get("b")?.state).toBe("unavailable");
  });

  it("of a member that a reload brought are read at once", async () => {
    const { providers, read } = setup("a");
    await read();
    const added = fakeProvider();
    providers.set("b", added);
    expect((await read()).get("b")?.state).toBe("available");
    expect(added.calls).toHaveLength(1);
  });

  it("that a wrap used do not undo a reading: clouds seal with old ones for hours", async () => {
    const { versions, read, member } = setup("a");
    member("a").version = "version-2";
    await read();
    versions.used("k", "a", "version-1");
    expect(await reading(versions, "a")).toEqual({ state: "available", version: "version-2" });
  });

  it("that a wrap used count while a member cannot be read", async () => {
    const { clock, versions, read, member } = setup("a");
    await read();
    clock.now = 30_000;
    member("a").faults = { version: "AccessDenied" };
    await read();
    versions.used("k", "a", "version-7");
    expect(await reading(versions, "a")).toEqual({ state: "unavailable", version: "version-7" });
  });

  it("as wraps used them last are kept beside what was read", async () => {
    const { versions, read, member } = setup("a", "b");
    versions.used("k", "a", "version-0");
    versions.used("k", "a", "version-1");
    member("a").version = "version-2";
    await read();
    expect([...versions.lastUsed("k")]).toEqual([["a", "version-1"]]);
    expect(await reading(versions, "a")).toEqual({ state: "available", version: "version-2" });
    expect([...versions.lastUsed("another")]).toEqual([]);
  });

  it("that a wrap used are known before any reading", async () => {
    const { versions, read } = setup("a");
    versions.used("k", "a", "version-1");
    expect(await reading(versions, "a")).toEqual({ state: "unknown", version: "version-1" });
    expect((await read()).get("a")?.state).toBe("available");
  });
});
