import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";

import type { Intent, Outcome } from "../../src/audit/entry.ts";
import type { BrokerConfigInput } from "../../src/config/schema.ts";
import { bounded } from "../../src/kms/bounded.ts";
import { ProviderError, type KeyProvider } from "../../src/kms/key-provider.ts";
import { fakeProvider } from "./fake-provider.ts";
import {
  call,
  configInput,
  DIGEST,
  KEK,
  makeHarness,
  PLAINTEXT,
  problemCode,
  stateOf,
  STATUS,
  unwrap,
  wrap,
} from "./fixture.ts";

const local = configInput().keks?.[KEK]?.members["dev"];

function withMembers(
  members: Record<string, KeyProvider>,
  more: object = {},
  use: Record<string, "unwrap"> = {},
) {
  const config: BrokerConfigInput = {
    ...configInput(),
    keks: {
      [KEK]: {
        members: Object.fromEntries(
          Object.keys(members).map((name) => [name, { ...local, ...(use[name] && { use: use[name] }) }]),
        ),
        ...more,
      },
    },
  };
  const providers = new Map([[KEK, new Map(Object.entries(members))]]);
  return Object.assign(makeHarness({ config, providers }), { config, providers });
}

const status = (harness: ReturnType<typeof makeHarness>, headers = {}) =>
  call(harness, "GET", STATUS, undefined, { mistakes: { headers } });

const sha256 = (base64: unknown) =>
  createHash("sha256")
    .update(Buffer.from(String(base64), "base64"))
    .digest("hex");

describe("wrap and unwrap", () => {
  it("give back what was wrapped, under the same key id", async () => {
    const harness = makeHarness();
    const wrapped = await wrap(harness);
    expect(wrapped.status, wrapped.text).toBe(200);
    expect(Object.keys(wrapped.json)).toEqual(["ciphertext", "keyId"]);
    const opened = await unwrap(harness, wrapped.json["ciphertext"]);
    expect(opened.json, opened.text).toEqual({ plaintext: PLAINTEXT, keyId: wrapped.json["keyId"] });
  });

  it.each([1, 32, 256])("take %i bytes", async (size) => {
    const harness = makeHarness();
    const plaintext = Buffer.alloc(size, 7).toString("base64");
    const { json } = await wrap(harness, {}, plaintext);
    expect((await unwrap(harness, json["ciphertext"])).json["plaintext"]).toBe(plaintext);
  });

  it("ask all members to wrap, and the first to unwrap", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    const { json } = await wrap(harness, { mistakes: { headers: { "x-request-id": "r-1" } } });
    await unwrap(harness, json["ciphertext"], { mistakes: { headers: { "x-request-id": "r-2" } } });
    expect(members.aa.calls).toEqual([
      { call: "wrap", requestId: "r-1" },
      { call: "unwrap", requestId: "r-1" },
      { call: "unwrap", requestId: "r-2" },
    ]);
    expect(members.bb.calls.map((made) => made.call)).toEqual(["wrap", "unwrap"]);
  });

  it("never ask a member with use: unwrap to wrap", async () => {
    const members = { aa: fakeProvider(1), old: fakeProvider(2) };
    const harness = withMembers(members, {}, { old: "unwrap" });
    expect((await wrap(harness)).status).toBe(200);
    expect(members.old.calls).toEqual([]);
  });

  it("survive the loss of a member, and say so", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    await status(harness);
    members.aa.faults = { wrap: "Timeout", unwrap: "Timeout" };
    const { json } = await wrap(harness);
    expect(json["degraded"]).toEqual(["aa"]);
    expect((await unwrap(harness, json["ciphertext"])).json["plaintext"]).toBe(PLAINTEXT);
    expect(harness.counted).toContainEqual({ name: "kek_broker_degraded_wraps_total", labels: { kek: KEK } });
  });
});

describe("the key id", () => {
  it("of a wrap is that of the versions used, whatever was read before", async () => {
    const aa = fakeProvider();
    const harness = withMembers({ aa });
    const before = (await status(harness)).json["keyId"];
    aa.version = "version-2";
    const wrapped = (await wrap(harness)).json["keyId"];
    expect(wrapped).not.toBe(before);
    expect((await status(harness)).json["keyId"]).toBe(before);
    harness.clock += 30_000;
    expect((await status(harness)).json["keyId"]).toBe(wrapped);
  });

  it("counts a missing member with its last known version, so an outage does not change it", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    const before = (await status(harness)).json["keyId"];
    members.bb.faults = { wrap: "Unavailable", version: "Unavailable" };
    harness.clock += 30_000;
    expect((await status(harness)).json).toMatchObject({ keyId: before, state: "DEGRADED" });
    expect((await wrap(harness)).json).toMatchObject({ keyId: before, degraded: ["bb"] });
  });

  it("is null while a member's version was never seen, in status and wrap, and such an envelope opens", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    members.bb.faults = { wrap: "Unavailable", version: "Unavailable" };
    expect((await status(harness)).json).toMatchObject({ keyId: null, state: "DEGRADED" });
    const wrapped = await wrap(harness);
    expect(wrapped.json).toMatchObject({ keyId: null, degraded: ["bb"] });
    expect((await unwrap(harness, wrapped.json["ciphertext"])).json).toEqual({
      plaintext: PLAINTEXT,
      keyId: null,
    });
  });

  it("asks a member that could not wrap, and was never seen, for its version", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    members.bb.faults = { wrap: "Throttled" };
    const { json } = await wrap(harness);
    expect(json["keyId"]).not.toBeNull();
    expect(json["keyId"]).toBe((await status(harness)).json["keyId"]);
  });

  it("does not count members with use: unwrap", async () => {
    const members = { aa: fakeProvider(1), old: fakeProvider(2) };
    const harness = withMembers(members, {}, { old: "unwrap" });
    const before = (await status(harness)).json["keyId"];
    members.old.version = "version-2";
    harness.clock += 30_000;
    expect((await status(harness)).json["keyId"]).toBe(before);
  });

  it("outlives a reload", async () => {
    const aa = fakeProvider();
    const harness = withMembers({ aa });
    const before = (await status(harness)).json["keyId"];
    aa.faults = { version: "Timeout" };
    harness.state = stateOf(harness.config, harness.providers);
    harness.clock += 30_000;
    expect((await status(harness)).json["keyId"]).toBe(before);
  });
});

describe("status", () => {
  it("tells everything a shim goes by", async () => {
    const harness = withMembers(
      { aa: fakeProvider(1), old: fakeProvider(2) },
      { epoch: 3 },
      { old: "unwrap" },
    );
    const { json } = await status(harness);
    expect(json).toEqual({
      name: KEK,
      keyId: expect.stringMatching(/^prod-secrets\.3\.[a-z2-7]{16}$/),
      state: "ACTIVE",
      threshold: 1,
      members: [
        { name: "aa", use: "both", state: "available" },
        { name: "old", use: "unwrap", state: "available" },
      ],
      lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3600 },
      maxCiphertext: expect.any(Number),
      features: [],
      config: DIGEST,
    });
  });

  it("bounds what a wrap of 32 bytes can be, to the byte", async () => {
    const harness = makeHarness();
    const { json } = await call(harness, "GET", STATUS);
    const wrapped = await wrap(harness);
    expect(Buffer.from(String(wrapped.json["ciphertext"]), "base64")).toHaveLength(
      Number(json["maxCiphertext"]),
    );
  });

  it("counts a member's largest wrap", async () => {
    const sizes = await Promise.all(
      [100, 200].map(async (maxWrapBytes) => {
        const { json } = await status(withMembers({ aa: fakeProvider(1, { maxWrapBytes }) }));
        return Number(json["maxCiphertext"]);
      }),
    );
    expect((sizes[1] ?? 0) - (sizes[0] ?? 0)).toBeGreaterThanOrEqual(100);
  });

  it.each([
    [{}, {}, "ACTIVE"],
    [{ version: "Timeout" }, {}, "DEGRADED"],
    [{ version: "KeyUnavailable" }, {}, "DEGRADED"],
    [{ version: "Timeout" }, { version: "KeyUnavailable" }, "UNAVAILABLE"],
  ] as const)("is by its members: %j and %j are %s", async (first, second, state) => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    Object.assign(members.aa, { faults: first });
    Object.assign(members.bb, { faults: second });
    const harness = withMembers(members);
    expect((await status(harness)).json["state"]).toBe(state);
  });

  it("answers within the caller's time though a cloud hangs", async () => {
    const members = { aa: fakeProvider(1) };
    members.aa.faults = { version: "hang" };
    const { status: code, json } = await status(withMembers(members), { "x-timeout-ms": "300" });
    expect(code).toBe(200);
    expect(json).toMatchObject({ keyId: null, state: "UNAVAILABLE", members: [{ state: "unknown" }] });
  });

  it("is counted, and no custody entry", async () => {
    const harness = withMembers({ aa: fakeProvider() });
    await status(harness);
    expect(harness.entries).toEqual([]);
    expect(harness.counted).toContainEqual({
      name: "kek_broker_requests_total",
      labels: { route: "status", code: "ok" },
    });
  });
});

describe("the record", () => {
  it("of a wrap is an intent before and an outcome after, with the clouds' request ids", async () => {
    const harness = withMembers({ aa: fakeProvider() });
    const { json } = await wrap(harness, {
      mistakes: { headers: { "x-request-id": "r-1" } },
    });
    const [intent, outcome] = harness.entries as [Intent, Outcome];
    expect(intent).toEqual({
      kind: "intent",
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
      time: "2026-11-24T12:00:00.000Z",
      requestId: "r-1",
      operation: "wrap",
      principal: {
        kind: "node",
        cluster: "prod-eu-1",
        subject: "prod-eu-1/cp-1",
        authority: expect.stringMatching(/^[A-Za-z0-9_-]{43}$/),
      },
      kek: KEK,
      cluster: "eu-id",
      config: DIGEST,
    });
    expect(outcome).toEqual({
      kind: "outcome",
      id: intent.id,
      time: "2026-11-24T12:00:00.000Z",
      requestId: "r-1",
      result: "ok",
      members: [
        { name: "aa", result: "ok", keyVersion: "version-1", cloudRequestIds: ["wrap-1", "unwrap-1"] },
      ],
      keyId: json["keyId"],
      envelope: sha256(json["ciphertext"]),
    });
  });

  it("of an unwrap names the envelope and the caller's uid", async () => {
    const harness = withMembers({ aa: fakeProvider() });
    const { json } = await wrap(harness);
    await call(harness, "POST", `${STATUS}/unwrap`, { ciphertext: json["ciphertext"], uid: "uid-1" });
    expect(harness.entries[2]).toMatchObject({
      operation: "unwrap",
      envelope: sha256(json["ciphertext"]),
      uid: "uid-1",
    });
    expect(harness.entries[3]).toMatchObject({
      result: "ok",
      members: [{ name: "aa", cloudRequestIds: ["unwrap-2"] }],
    });
  });

  it("of a failed act says what failed, and where", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = withMembers(members);
    members.aa.faults = { wrap: "Throttled" };
    members.bb.faults = { unwrap: "Timeout" };
    const answer = await wrap(harness);
    expect(problemCode(answer)).toBe("DependencyTimeout");
    expect(harness.entries[1]).toMatchObject({
      result: "DependencyTimeout",
      members: [
        { name: "aa", result: "Throttled", cloudRequestIds: ["failed-wrap"] },
        { name: "bb", result: "Timeout", cloudRequestIds: ["wrap-1", "failed-unwrap"] },
      ],
    });
  });

  it.each([false, true])(
    "names a member that has not answered when the time is up (did it act: %s)",
    async (acts) => {
      const aa = fakeProvider();
      const harness = withMembers({ aa });
      const { json } = await wrap(harness);
      Object.assign(aa, { faults: { unwrap: "hang" }, failsAfter: acts });
      const answer = await unwrap(harness, json["ciphertext"], {
        mistakes: { headers: { "x-timeout-ms": "100" } },
      });
      expect(problemCode(answer)).toBe("DependencyTimeout");
      expect(harness.entries.at(-1)).toMatchObject({
        result: "DependencyTimeout",
        members: [{ name: "aa", result: "unfinished" }],
      });
    },
  );

  it("names a member whose wrap did not open to what was wrapped, in an envelope or in none", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const honest = fakeProvider(2);
    members.bb.unwrap = async (...call) => ({
      ...(await honest.unwrap(...call)),
      plaintext: new Uint8Array(32),
    });
    const harness = withMembers(members);
    expect((await wrap(harness)).json["degraded"]).toEqual(["bb"]);
    const unproven = { name: "bb", result: "unproven", cloudRequestIds: ["wrap-1", "unwrap-1"] };
    expect(harness.entries.at(-1)).toMatchObject({ members: [{ name: "aa", result: "ok" }, unproven] });
    members.aa.faults = { wrap: "Throttled" };
    expect((await wrap(harness)).status).toBe(503);
    expect(harness.entries.at(-1)).toMatchObject({
      members: [{ result: "Throttled" }, { result: "unproven" }],
    });
  });

  it("holds the cloud's id of an attempt that failed and was made again", async () => {
    const aa = fakeProvider();
    const cloud = fakeProvider();
    aa.wrap = async (...call) => {
      if (cloud.calledFor("wrap") > 0) return cloud.wrap(...call);
      await cloud.wrap(...call);
      throw new ProviderError("Unavailable", "the answer was lost", { cloudRequestId: "lost-wrap" });
    };
    const harness = withMembers({ aa: bounded(aa) });
    expect((await wrap(harness)).status).toBe(200);
    expect(harness.entries.at(-1)).toMatchObject({
      members: [{ name: "aa", result: "ok", cloudRequestIds: ["lost-wrap", "wrap-2", "unwrap-1"] }],
    });
  });

  it("counts different envelopes, and each once", async () => {
    const harness = makeHarness();
    const first = (await wrap(harness)).json["ciphertext"];
    const second = (await wrap(harness)).json["ciphertext"];
    for (const ciphertext of [first, second, first, first]) await unwrap(harness, ciphertext);
    const gauges = harness.counted.filter(({ name }) => name === "kek_broker_distinct_envelopes");
    expect(gauges.map(({ value }) => value)).toEqual([1, 2, 2, 2]);
    harness.clock += 3_600_000;
    const iat = harness.clock / 1000;
    await unwrap(harness, first, { mistakes: { claims: { iat, exp: iat + 30 } } });
    expect(harness.counted.findLast(({ name }) => name === "kek_broker_distinct_envelopes")?.value).toBe(1);
  });
});
