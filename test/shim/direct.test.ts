import { describe, expect, test } from "vitest";

import { DekCache } from "../../src/shim/cache.ts";
import { DirectMode } from "../../src/shim/direct.ts";
import { BrokerCallError } from "../../src/shim/errors.ts";
import { Health } from "../../src/shim/health.ts";
import { KeyIdTracker } from "../../src/shim/key-id.ts";
import { Standing } from "../../src/shim/standing.ts";
import type { KekStatus } from "../../src/wire/messages.ts";
import { held, refuses, says } from "./fake-broker.ts";
import { makeClient, ManualClock, startBroker } from "./kit.ts";

const A = "prod-secrets.0.aaaaaaaaaaaaaaaa";
const B = "prod-secrets.0.bbbbbbbbbbbbbbbb";

function statusWith(keyId: string): KekStatus {
  return {
    name: "prod-secrets",
    keyId,
    state: "ACTIVE",
    threshold: 1,
    members: [],
    lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3_600 },
    maxCiphertext: 360,
    features: [],
    config: "",
  };
}

async function makeDirectMode() {
  const broker = await startBroker();
  const clock = new ManualClock();
  const { client, metrics } = makeClient([broker.url], { clock });
  const cache = new DekCache();
  const standing = new Standing({
    tracker: new KeyIdTracker(),
    health: new Health(),
    clock,
    log: () => undefined,
    metrics,
    onRevoked: () => cache.clear(),
    onHealthy: () => undefined,
  });
  standing.pollSucceeded(statusWith(A));
  const mode = new DirectMode({
    client,
    cache,
    standing,
    clock,
    statusVersion: "v2",
    metrics,
    stopping: new AbortController().signal,
  });
  const rotate = () => {
    standing.pollSucceeded(statusWith(B));
    clock.advance(40_000);
    standing.pollSucceeded(statusWith(B));
    standing.probed(B);
  };
  /** Holds the next call at the broker; resolves once it is there. */
  const holdNext = () => {
    const gate = held();
    const arrived = new Promise<void>((resolve) => {
      broker.next((moment) => {
        resolve();
        return gate.behaviour(moment);
      });
    });
    return { arrived, release: gate.release };
  };
  return { broker, mode, rotate, holdNext, standing, cache, clock, metrics };
}

const caller = () => ({ remainingMs: 3_000, signal: new AbortController().signal });
const DEK = Buffer.from("0123456789abcdef0123456789abcdef");

describe("Encrypt's key id", () => {
  test("is Status's, whatever id the wrap itself came back with", async () => {
    const { broker, mode } = await makeDirectMode();
    broker.wrapKeyId = B;
    expect((await mode.encrypt({ plaintext: DEK, uid: "" }, caller())).keyId).toBe(A);
    expect(mode.status().keyId).toBe(A);
  });

  test("is the one that Status showed when the caller asked, if it changes meanwhile", async () => {
    const { mode, rotate, holdNext } = await makeDirectMode();
    const gate = holdNext();
    const asked = mode.encrypt({ plaintext: DEK, uid: "" }, caller());
    await gate.arrived;
    rotate();
    expect(mode.status().keyId).toBe(B);
    gate.release();
    expect((await asked).keyId).toBe(A);
    expect((await mode.encrypt({ plaintext: DEK, uid: "" }, caller())).keyId).toBe(B);
  });
});

describe("Revoked", () => {
  const REVOKED = new BrokerCallError("Revoked", "made up");

  test("while an unwrap is in flight: its own callers are answered, nobody after them, from no cache", async () => {
    const { broker, mode, holdNext, standing, cache } = await makeDirectMode();
    const ciphertext = broker.seal(DEK);
    const gate = holdNext();
    const before = mode.decrypt({ ciphertext, uid: "" }, caller());
    await gate.arrived;
    broker.always = refuses("Revoked");
    standing.unwrapFailed(REVOKED);
    const after = mode.decrypt({ ciphertext, uid: "" }, caller());
    await expect(after).rejects.toMatchObject({ code: "Revoked" });
    gate.release();
    expect(Buffer.from((await before).plaintext)).toEqual(DEK);
    expect(cache.size).toBe(0);
    await expect(mode.decrypt({ ciphertext, uid: "" }, caller())).rejects.toMatchObject({ code: "Revoked" });
  });

  test("and taken back while a call is in flight: what was asked for before it is not kept", async () => {
    const { broker, mode, holdNext, standing, cache } = await makeDirectMode();
    for (const ask of [
      () => mode.decrypt({ ciphertext: broker.seal(DEK), uid: "" }, caller()),
      () => mode.encrypt({ plaintext: DEK, uid: "" }, caller()),
    ]) {
      const gate = holdNext();
      const asked = ask();
      await gate.arrived;
      standing.unwrapFailed(REVOKED);
      standing.pollSucceeded(statusWith(A));
      gate.release();
      await asked;
      expect(cache.size).toBe(0);
    }
    await mode.encrypt({ plaintext: DEK, uid: "" }, caller());
    expect(cache.size).toBe(1);
  });

  test("nothing is kept or answered from memory until Status is good again", async () => {
    const { broker, mode, standing, cache } = await makeDirectMode();
    standing.unwrapFailed(REVOKED);
    const { ciphertext } = await mode.encrypt({ plaintext: DEK, uid: "" }, caller());
    expect(cache.size).toBe(0);
    await mode.decrypt({ ciphertext, uid: "" }, caller());
    await mode.decrypt({ ciphertext, uid: "" }, caller());
    expect(broker.count("unwrap")).toBe(2);
    standing.pollSucceeded(statusWith(A));
    await mode.decrypt({ ciphertext, uid: "" }, caller());
    await mode.decrypt({ ciphertext, uid: "" }, caller());
    expect(broker.count("unwrap")).toBe(3);
  });
});

describe("a ciphertext that brokers refuse", () => {
  const REFUSED = ["InvalidCiphertext", "SealedByAnotherCluster"] as const;
  test.each(REFUSED)("with %s is asked about once in 5 s, however often it is wanted", async (code) => {
    const { broker, mode, clock, metrics } = await makeDirectMode();
    broker.always = refuses(code);
    const decrypt = () => mode.decrypt({ ciphertext: Buffer.from("bad"), uid: "" }, caller());
    for (let call = 0; call < 100; call++) await expect(decrypt()).rejects.toMatchObject({ code });
    expect(broker.count("unwrap")).toBe(1);
    expect(await metrics.text()).toContain('kek_shim_cache_total{result="refused"} 99');
    clock.advance(4_999);
    await expect(decrypt()).rejects.toMatchObject({ code });
    expect(broker.count("unwrap")).toBe(1);
    clock.advance(1);
    for (let call = 0; call < 3; call++) await expect(decrypt()).rejects.toMatchObject({ code });
    expect(broker.count("unwrap")).toBe(2);
  });

  test("does not stand in for another one", async () => {
    const { broker, mode } = await makeDirectMode();
    const bad = mode.decrypt({ ciphertext: Buffer.from("bad"), uid: "" }, caller());
    await expect(bad).rejects.toMatchObject({ code: "InvalidCiphertext" });
    await mode.decrypt({ ciphertext: broker.seal(DEK), uid: "" }, caller());
  });

  test.each(["AccessDenied", "AuthenticationFailed", "Revoked", "NotFound"] as const)(
    "with %s is asked about again: that is no word about the ciphertext",
    async (code) => {
      const { broker, mode } = await makeDirectMode();
      broker.next(refuses(code));
      const ciphertext = broker.seal(DEK);
      await expect(mode.decrypt({ ciphertext, uid: "" }, caller())).rejects.toMatchObject({ code });
      expect(Buffer.from((await mode.decrypt({ ciphertext, uid: "" }, caller())).plaintext)).toEqual(DEK);
    },
  );
});

test("a broker that answers two keys with one ciphertext is not believed, and the first stays", async () => {
  const { broker, mode } = await makeDirectMode();
  const body = JSON.stringify({ ciphertext: broker.seal(DEK).toString("base64"), keyId: A });
  broker.always = says(200, { "content-type": "application/json" }, body);
  const { ciphertext } = await mode.encrypt({ plaintext: DEK, uid: "" }, caller());
  await mode.encrypt({ plaintext: DEK, uid: "" }, caller());
  const other = mode.encrypt({ plaintext: Buffer.alloc(32, 1), uid: "" }, caller());
  await expect(other).rejects.toMatchObject({ code: "BadAnswer" });
  const { plaintext } = await mode.decrypt({ ciphertext, uid: "" }, caller());
  expect(Buffer.from(plaintext)).toEqual(DEK);
});

test("a uid that the broker would refuse is left out, one it takes is passed on", async () => {
  const { broker, mode } = await makeDirectMode();
  for (const uid of ["6b5a1b7e-0d63-4cd5-8d6b-0f9fdc1e7f30", "", "ü", "a b", "a".repeat(65)]) {
    await mode.encrypt({ plaintext: DEK, uid }, caller());
  }
  expect(broker.calls.map((call) => call.uid)).toEqual([
    "6b5a1b7e-0d63-4cd5-8d6b-0f9fdc1e7f30",
    undefined,
    undefined,
    undefined,
    undefined,
  ]);
});

test.each([0, 257])("a plaintext of %i bytes reaches no broker", async (size) => {
  const { broker, mode } = await makeDirectMode();
  await expect(mode.encrypt({ plaintext: Buffer.alloc(size), uid: "" }, caller())).rejects.toMatchObject({
    code: "BadRequest",
    message: expect.stringContaining(`plaintext is ${size} bytes`),
  });
  expect(broker.count()).toBe(0);
});

test.each([0, 4_097])("a ciphertext of %i bytes reaches no broker", async (size) => {
  const { broker, mode } = await makeDirectMode();
  await expect(mode.decrypt({ ciphertext: Buffer.alloc(size), uid: "" }, caller())).rejects.toMatchObject({
    code: "BadRequest",
  });
  expect(broker.count()).toBe(0);
});
