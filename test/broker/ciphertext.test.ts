import { randomBytes } from "node:crypto";
import * as fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";

import type { KeyProvider } from "../../src/kms/key-provider.ts";
import {
  call,
  configInput,
  KEK,
  keys,
  localProvider,
  makeHarness,
  PLAINTEXT,
  problemCode,
  stateOf,
  stillServes,
  unwrap,
  wrap,
} from "./fixture.ts";

const members = (...names: string[]) => {
  const config = configInput();
  const member = config.keks?.[KEK]?.members["dev"];
  if (member === undefined) throw new Error("the fixture has no such member");
  return { ...config, keks: { [KEK]: { members: Object.fromEntries(names.map((name) => [name, member])) } } };
};
const providers = (...entries: [string, KeyProvider][]) => new Map([[KEK, new Map(entries)]]);
const two = makeHarness({
  config: members("aa", "bb"),
  providers: providers(["aa", localProvider("v1", 1)], ["bb", localProvider("v1", 2)]),
});

describe("an envelope is refused", () => {
  let whole: Buffer;
  beforeAll(async () => {
    whole = Buffer.from(String((await wrap(two)).json["ciphertext"]), "base64");
  });

  it("when it is garbage", async () => {
    const garbage = fc.uint8Array({ minLength: 1, maxLength: 4096 });
    await fc.assert(
      fc.asyncProperty(garbage, async (bytes) => {
        const answer = await unwrap(two, Buffer.from(bytes).toString("base64"));
        expect(problemCode(answer), answer.text).toBe("InvalidCiphertext");
      }),
      { numRuns: 100, seed: 4 },
    );
    expect(await stillServes(two)).toBe(true);
  });

  it("when it lost its end, at any length", async () => {
    for (let length = 1; length < whole.length; length++) {
      const answer = await unwrap(two, whole.subarray(0, length).toString("base64"));
      expect(problemCode(answer), `cut to ${length}`).toBe("InvalidCiphertext");
    }
    expect(await stillServes(two)).toBe(true);
  });

  it("when it has something at its end", async () => {
    const answer = await unwrap(two, Buffer.concat([whole, randomBytes(1)]).toString("base64"));
    expect(problemCode(answer)).toBe("InvalidCiphertext");
  });

  it("but not for good when it is of a later version, which another broker may know", async () => {
    const later = Buffer.from(whole);
    const version = later.indexOf(Buffer.of(0x08, 0x01)) + 1;
    later[version] = 2;
    const answer = await unwrap(two, later.toString("base64"));
    expect([answer.status, problemCode(answer)]).toEqual([501, "UnsupportedOperation"]);
  });

  // One bit of each byte here; test/conformance flips all of them.
  it("when a bit of any byte is flipped, in all members' wraps too", { timeout: 30_000 }, async () => {
    const codes = new Map<string, number>();
    for (let bit = 0; bit < whole.length * 8; bit += 9) {
      const flipped = Buffer.from(whole);
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      const answer = await unwrap(two, flipped.toString("base64"));
      expect(answer.status, `bit ${bit}: ${answer.text}`).toBeGreaterThanOrEqual(400);
      const code = problemCode(answer);
      codes.set(code, (codes.get(code) ?? 0) + 1);
    }
    // A flip in the version makes it a later one.
    expect([...codes.keys()].sort()).toEqual([
      "InvalidCiphertext",
      "SealedByAnotherCluster",
      "UnsupportedOperation",
    ]);
    expect(codes.get("UnsupportedOperation")).toBe(1);
    expect(await stillServes(two)).toBe(true);
  });

  it("of another cluster, in words that do not say whose, without an intent or a call", async () => {
    const shared = makeHarness();
    const { json } = await wrap(shared);
    shared.entries.length = 0;
    const answer = await unwrap(shared, json["ciphertext"], {
      subject: "prod-us-1/cp-1",
      mistakes: { signer: keys.otherCluster },
    });
    expect(answer.status).toBe(403);
    expect(problemCode(answer)).toBe("SealedByAnotherCluster");
    expect(answer.text).not.toMatch(/eu-id|prod-eu-1/);
    expect(shared.entries).toEqual([]);
    expect(shared.counted).toContainEqual({
      name: "kek_broker_denials_total",
      labels: { cluster: "prod-us-1", reason: "another-cluster" },
    });
  });

  it("of another KEK", async () => {
    const config = configInput();
    const cluster = config.clusters?.["prod-eu-1"];
    if (cluster === undefined) throw new Error("the fixture has no such cluster");
    const allow = [KEK, "other-kek"].map((kek) => ({
      kek,
      operations: ["wrap" as const, "unwrap" as const],
    }));
    const both = makeHarness({ config: { ...config, clusters: { "prod-eu-1": { ...cluster, allow } } } });
    const { json } = await wrap(both);
    const answer = await call(both, "POST", "/v1/keks/other-kek/unwrap", { ciphertext: json["ciphertext"] });
    expect(problemCode(answer)).toBe("InvalidCiphertext");
  });

  it("of members that are not configured any more", async () => {
    const changing = makeHarness({
      config: members("aa"),
      providers: providers(["aa", localProvider("v1", 1)]),
    });
    const { json } = await wrap(changing);
    changing.state = stateOf(members("cc"), providers(["cc", localProvider("v1", 1)]));
    const answer = await unwrap(changing, json["ciphertext"]);
    expect([answer.status, problemCode(answer)]).toEqual([409, "KeyUnavailable"]);
  });
});

describe("a restore", () => {
  const restoring = (until: string) => {
    const config = configInput();
    const cluster = config.clusters?.["prod-us-1"];
    if (cluster === undefined) throw new Error("the fixture has no such cluster");
    const mayOpen = [{ cluster: "eu-id", until }];
    return { ...config, clusters: { ...config.clusters, "prod-us-1": { ...cluster, mayOpen } } };
  };
  const openByOther = async (until: string) => {
    const harness = makeHarness({ config: restoring(until) });
    const { json } = await wrap(harness);
    const caller = { subject: "prod-us-1/cp-1", mistakes: { signer: keys.otherCluster } };
    return { harness, answer: await unwrap(harness, json["ciphertext"], caller) };
  };

  it("opens the named cluster's envelopes until its day, under that cluster's context", async () => {
    const { harness, answer } = await openByOther("2026-11-25");
    expect(answer.json, answer.text).toMatchObject({ plaintext: PLAINTEXT });
    expect(harness.entries.at(-2)).toMatchObject({
      operation: "unwrap",
      cluster: "eu-id",
      principal: { cluster: "prod-us-1" },
    });
  });

  it("opens none from that day on", async () => {
    const { answer } = await openByOther("2026-11-24T12:00:00Z");
    expect(problemCode(answer)).toBe("SealedByAnotherCluster");
  });
});
