import { describe, expect, onTestFinished, test, vi } from "vitest";

import { BrokerCallError } from "../../src/shim/errors.ts";
import type { BrokerCallCode } from "../../src/shim/errors.ts";
import { Health } from "../../src/shim/health.ts";
import { KeyIdTracker } from "../../src/shim/key-id.ts";
import { createLog } from "../../src/shim/log.ts";
import { Standing } from "../../src/shim/standing.ts";
import { StatusPoller } from "../../src/shim/status-poller.ts";
import type { KekStatus } from "../../src/wire/messages.ts";
import { hangsUp, held, refuses } from "./fake-broker.ts";
import type { FakeBroker } from "./fake-broker.ts";
import { makeClient, ManualClock, startBroker, textField } from "./kit.ts";

/** For a busy machine; nothing here waits so long. */
vi.setConfig({ testTimeout: 30_000 });

const A = "prod-secrets.0.aaaaaaaaaaaaaaaa";
const B = "prod-secrets.0.bbbbbbbbbbbbbbbb";

const STATUS: KekStatus = {
  name: "prod-secrets",
  keyId: A,
  state: "ACTIVE",
  threshold: 1,
  members: [],
  lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3_600 },
  maxCiphertext: 360,
  features: [],
  config: "",
};
const failure = (code: BrokerCallCode) => new BrokerCallError(code, "made up");

describe("health", () => {
  function healthy(): Health {
    const health = new Health();
    health.pollSucceeded(STATUS);
    return health;
  }

  test("is an error text before the first answer, and says why there is none", () => {
    const health = new Health();
    expect(health.text(undefined)).toBe("no broker has answered yet");
    health.pollFailed(failure("Unreachable"));
    expect(health.text(undefined)).toContain("Unreachable");
  });

  test("is ok with an answer and a key id", () => {
    expect(healthy().text(A)).toBe("ok");
    expect(healthy().text(undefined)).toContain("no key id");
  });

  test("outlives two failed polls, not a third", () => {
    const health = healthy();
    health.pollFailed(failure("Unreachable"));
    health.pollFailed(failure("AccessDenied"));
    expect(health.text(A)).toBe("ok");
    health.pollFailed(failure("Unreachable"));
    expect(health.text(A)).not.toBe("ok");
    health.pollSucceeded(STATUS);
    expect(health.text(A)).toBe("ok");
  });

  test("ends at once with Revoked", () => {
    const health = healthy();
    health.pollFailed(failure("Revoked"));
    expect(health.text(A)).toContain("Revoked");
  });

  test("ends while the KEK is UNAVAILABLE, not while it is DEGRADED", () => {
    const health = healthy();
    health.pollSucceeded({ ...STATUS, state: "DEGRADED" });
    expect(health.text(A)).toBe("ok");
    health.pollSucceeded({ ...STATUS, state: "UNAVAILABLE" });
    expect(health.text(A)).toContain("unavailable");
  });

  test("ends when a wrap is refused although status is not, until one works", () => {
    const health = healthy();
    health.wrapRefused(failure("AccessDenied"));
    health.pollSucceeded(STATUS);
    expect(health.text(A)).toContain("encrypting fails");
    health.wrapSucceeded();
    expect(health.text(A)).toBe("ok");
  });
});

function makePoller(broker: FakeBroker) {
  const clock = new ManualClock();
  const { client, lines, metrics } = makeClient([broker.url], { clock });
  let revocations = 0;
  const standing = new Standing({
    tracker: new KeyIdTracker(),
    health: new Health(),
    clock,
    log: createLog(
      (line) => lines.push(line),
      () => 0,
    ),
    metrics,
    onRevoked: () => {
      revocations += 1;
      poller.wake();
    },
    onHealthy: () => undefined,
  });
  const stop = new AbortController();
  const poller = new StatusPoller({ client, standing, clock, random: () => 0.5 });
  const ended = poller.run(stop.signal);
  ended.catch(() => undefined);
  onTestFinished(() => stop.abort());
  return { clock, standing, lines, ended, stop, revocations: () => revocations };
}

/** Lets one poll (with its probe, if any) come to its end, and wakes the next. */
async function polls(clock: ManualClock, count: number): Promise<void> {
  for (let poll = 0; poll < count; poll++) await clock.next();
}

describe("polling", () => {
  test("asks at once, then every 40 s", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    const { clock, standing } = makePoller(broker);
    await clock.next();
    expect(standing.now).toEqual({ healthz: "ok", keyId: A });
    expect(clock.now()).toBe(40_000);
    await polls(clock, 2);
    expect(clock.now()).toBe(120_000);
    expect(broker.count("status")).toBe(3);
    expect(broker.count("wrap")).toBe(0);
  });

  test("a rotation: seen twice, probed, taken once a wrap came back under it; logged as a probe", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    const { clock, standing, lines } = makePoller(broker);
    await clock.next();
    broker.keyId = B;
    broker.wrapKeyId = A;
    await polls(clock, 3);
    expect(standing.now.keyId).toBe(A);
    expect(broker.count("wrap")).toBe(2);
    expect(broker.calls.filter(({ operation }) => operation === "wrap").map(({ uid }) => uid)).toEqual([
      expect.stringMatching(/^probe-[0-9a-f-]{36}$/),
      expect.stringMatching(/^probe-[0-9a-f-]{36}$/),
    ]);
    broker.wrapKeyId = undefined;
    await clock.next();
    expect(standing.now.keyId).toBe(B);
    await polls(clock, 2);
    expect(broker.count("wrap")).toBe(3);
    expect(lines.filter((line) => line.includes("key id changed"))).toHaveLength(1);
  });

  test("probes are 32 random bytes, never the same", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    const { clock } = makePoller(broker);
    await clock.next();
    broker.keyId = B;
    broker.wrapKeyId = A;
    await polls(clock, 3);
    const plaintexts = broker.calls
      .filter(({ operation }) => operation === "wrap")
      .map(({ body }) => textField(body, "plaintext"));
    expect(plaintexts.map((text) => Buffer.from(text, "base64").length)).toEqual([32, 32]);
    expect(new Set(plaintexts).size).toBe(2);
  });

  test("before the first key id it is asked for again quickly, no slower than every 5 s", async () => {
    const broker = await startBroker();
    broker.keyId = null;
    const { clock, standing } = makePoller(broker);
    const waits: number[] = [];
    for (let poll = 0; poll < 8; poll++) {
      const before = clock.now();
      await clock.next();
      waits.push(clock.now() - before);
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    expect(standing.now.healthz).toContain("no key id yet");
    broker.keyId = A;
    await polls(clock, 2);
    expect(standing.now).toEqual({ healthz: "ok", keyId: A });
    const found = clock.now();
    await clock.next();
    expect(clock.now() - found).toBe(40_000);
  });

  test("before the first answer it is tried again quickly, no slower than every 5 s", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    broker.always = refuses("AccessDenied");
    const { clock, standing } = makePoller(broker);
    const waits: number[] = [];
    for (let poll = 0; poll < 8; poll++) {
      const before = clock.now();
      await clock.next();
      waits.push(clock.now() - before);
    }
    expect(waits).toEqual([100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    expect(standing.now.healthz).toContain("AccessDenied");
    broker.always = undefined;
    await clock.next();
    expect(standing.now.healthz).toBe("ok");
  });

  test("after a failure it is tried again sooner, and three in a row end health", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    const { clock, standing, lines } = makePoller(broker);
    await clock.next();
    broker.always = refuses("AuthenticationFailed");
    await polls(clock, 2);
    expect(standing.now.healthz).toBe("ok");
    await clock.next();
    expect(standing.now.healthz).toContain("AuthenticationFailed");
    expect(clock.now()).toBe(40_000 + 1_000 + 2_000 + 4_000);
    broker.always = undefined;
    await clock.next();
    expect(standing.now.healthz).toBe("ok");
    const told = lines.filter((line) => line.includes('healthy"')).length;
    expect(told).toBe(3);
  });

  test("a wrap that was refused is tried again by a probe", async () => {
    const broker = await startBroker();
    broker.keyId = A;
    const { clock, standing } = makePoller(broker);
    await clock.next();
    standing.wrapFailed(failure("AccessDenied"));
    expect(standing.now.healthz).toContain("encrypting fails");
    await clock.next();
    expect(standing.now.healthz).toBe("ok");
    expect(broker.count("wrap")).toBe(1);
  });

  test.each(["Validation", "Timeout", "Unreachable", "Cancelled", "Throttled"] as const)(
    "a wrap that failed with %s says nothing about the next one",
    async (code) => {
      const broker = await startBroker();
      const { clock, standing } = makePoller(broker);
      await clock.next();
      standing.wrapFailed(failure(code));
      expect(standing.now.healthz).toBe("ok");
    },
  );

  test("Revoked ends health and what was unwrapped, from any call", async () => {
    const broker = await startBroker();
    const { clock, standing, revocations, lines } = makePoller(broker);
    await clock.next();
    standing.unwrapFailed(failure("Revoked"));
    standing.unwrapFailed(failure("Revoked"));
    expect(standing.now.healthz).toContain("Revoked");
    expect(revocations()).toBe(1);
    expect(lines.filter((line) => line.includes('"event":"revoked"'))).toHaveLength(1);
    await clock.next();
    expect(standing.now.healthz).toBe("ok");
    standing.wrapFailed(failure("Revoked"));
    expect(revocations()).toBe(2);
  });

  test("Revoked from a call wakes it, and it then asks as after a failure", async () => {
    const broker = await startBroker();
    const { clock, standing } = makePoller(broker);
    await clock.asleep();
    broker.always = refuses("Revoked");
    standing.unwrapFailed(failure("Revoked"));
    await clock.next();
    expect(broker.count("status")).toBe(2);
    expect(clock.now()).toBe(1_000);
    broker.always = undefined;
    await clock.next();
    expect(standing.now.healthz).toBe("ok");
  });

  test("a good Status that was asked for before Revoked does not take it back; a later one does", async () => {
    const broker = await startBroker();
    const { clock, standing } = makePoller(broker);
    await clock.asleep();
    const gate = held();
    const arrived = new Promise<void>((resolve) => {
      broker.next((moment) => {
        resolve();
        return gate.behaviour(moment);
      });
    });
    await clock.next();
    await arrived;
    standing.unwrapFailed(failure("Revoked"));
    gate.release();
    const before = clock.now();
    await clock.next();
    expect(standing.now.healthz).toContain("Revoked");
    expect(clock.now() - before).toBe(1_000);
    await clock.asleep();
    expect(standing.now.healthz).toBe("ok");
  });

  test("silence after Revoked does not take it back", async () => {
    const broker = await startBroker();
    const { clock, standing } = makePoller(broker);
    await clock.asleep();
    standing.pollFailed(failure("Revoked"));
    standing.pollFailed(failure("Unreachable"));
    expect(standing.now.healthz).toContain("Revoked");
    expect(standing.revoked).toBe(true);
  });

  test("envelopes too large for kube-apiserver end it, if the first answer says so", async () => {
    const broker = await startBroker();
    broker.status = { maxCiphertext: 1_025 };
    const { ended } = makePoller(broker);
    await expect(ended).rejects.toMatchObject({
      code: "DirectModeUnfit",
      message: expect.stringContaining("1025 bytes"),
    });
  });

  test("1,024 bytes are not too large, and later answers end nothing", async () => {
    const broker = await startBroker();
    broker.status = { maxCiphertext: 1_024 };
    const { clock, standing, stop, ended } = makePoller(broker);
    await clock.next();
    broker.status = { maxCiphertext: 2_000 };
    await polls(clock, 2);
    expect(standing.now.healthz).toBe("ok");
    stop.abort();
    await ended;
  });

  test("a broker that breaks off the connection is one failed poll", async () => {
    const broker = await startBroker();
    const { clock, standing } = makePoller(broker);
    await clock.next();
    broker.next(hangsUp("after"));
    await polls(clock, 2);
    expect(standing.now.healthz).toBe("ok");
  });
});
