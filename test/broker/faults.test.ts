import { describe, expect, it } from "vitest";

import type { Recorder } from "../../src/audit/recorder.ts";
import type { BrokerConfigInput } from "../../src/config/schema.ts";
import { fakeProvider, type FakeProvider } from "./fake-provider.ts";
import {
  call,
  configInput,
  KEK,
  keys,
  makeHarness,
  PLAINTEXT,
  problemCode,
  stillServes,
  unwrap,
  wrap,
  WRAP,
} from "./fixture.ts";

const local = configInput().keks?.[KEK]?.members["dev"];

function setup(members: Record<string, FakeProvider>, more: object = {}, recorder?: Recorder) {
  const names = Object.keys(members).map((name) => [name, local] as const);
  const config: BrokerConfigInput = {
    ...configInput(),
    keks: { [KEK]: { members: Object.fromEntries(names), ...more } as never },
  };
  const providers = new Map([[KEK, new Map(Object.entries(members))]]);
  return makeHarness({ config, providers, ...(recorder && { recorder }) });
}

describe("when clouds fail", () => {
  const cases: [Record<string, string>, number, string][] = [
    [{ aa: "KeyUnavailable" }, 409, "KeyUnavailable"],
    [{ aa: "KeyUnavailable", bb: "KeyUnavailable" }, 409, "KeyUnavailable"],
    [{ aa: "Throttled" }, 429, "Throttled"],
    [{ aa: "Throttled", bb: "KeyUnavailable" }, 429, "Throttled"],
    [{ aa: "Timeout" }, 503, "DependencyTimeout"],
    [{ aa: "Unavailable" }, 503, "DependencyTimeout"],
    [{ aa: "AccessDenied" }, 503, "DependencyTimeout"],
    [{ aa: "Refused" }, 503, "DependencyTimeout"],
    [{ aa: "KeyUnavailable", bb: "Timeout" }, 503, "DependencyTimeout"],
    [{ aa: "Throttled", bb: "Unavailable" }, 503, "DependencyTimeout"],
    [{ aa: "defect" }, 500, "Internal"],
  ];
  for (const failsAfter of [false, true]) {
    const when = failsAfter ? "after" : "before";
    it.each(cases)(
      `%j ${when} the effect: both answer %i %s, and serve again`,
      async (faults, httpStatus, code) => {
        const members = Object.fromEntries(
          Object.keys(faults).map((name, index) => [name, fakeProvider(index + 1)]),
        );
        const harness = setup(members);
        const { json } = await wrap(harness);
        for (const [name, member] of Object.entries(members)) {
          member.failsAfter = failsAfter;
          member.faults = { wrap: faults[name] as "Timeout", unwrap: faults[name] as "Timeout" };
        }
        for (const answer of [await wrap(harness), await unwrap(harness, json["ciphertext"])]) {
          expect([answer.status, problemCode(answer)], answer.text).toEqual([httpStatus, code]);
          expect(answer.headers.get("retry-after")).toBe(code === "Throttled" ? "1" : null);
          expect(answer.text).not.toMatch(/arn:|secret in a message|\.ts:/);
        }
        expect(harness.logs.join("\n")).not.toMatch(/arn:|secret in a message/);
        for (const member of Object.values(members)) member.faults = {};
        expect(await stillServes(harness)).toBe(true);
      },
    );
  }

  it("a cloud that hangs costs no more than the caller's time", async () => {
    const aa = fakeProvider();
    const harness = setup({ aa });
    aa.faults = { wrap: "hang" };
    const answer = await wrap(harness, { mistakes: { headers: { "x-timeout-ms": "600" } } });
    expect([answer.status, problemCode(answer)]).toEqual([503, "DependencyTimeout"]);
    expect(harness.entries.map(({ kind }) => kind)).toEqual(["intent", "outcome"]);
  });

  it('"invalid ciphertext" of a member is final: the next is not asked', async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = setup(members);
    const { json } = await wrap(harness);
    members.aa.faults = { unwrap: "InvalidCiphertext" };
    const before = members.bb.calledFor("unwrap");
    expect(problemCode(await unwrap(harness, json["ciphertext"]))).toBe("InvalidCiphertext");
    expect(members.bb.calledFor("unwrap")).toBe(before);
  });

  it("what a symmetric member refuses without saying why, an asymmetric one does not open", async () => {
    const members = { aa: fakeProvider(1), rsa: Object.assign(fakeProvider(2), { symmetric: false }) };
    const harness = setup(members);
    const { json } = await wrap(harness);
    members.aa.faults = { unwrap: "Refused" };
    const before = members.rsa.calledFor("unwrap");
    expect(problemCode(await unwrap(harness, json["ciphertext"]))).toBe("DependencyTimeout");
    expect(members.rsa.calledFor("unwrap")).toBe(before);
    members.aa.faults = { unwrap: "KeyUnavailable" };
    expect(problemCode(await unwrap(harness, json["ciphertext"]))).toBe("KeyUnavailable");
    expect(members.rsa.calledFor("unwrap")).toBe(before);
    members.aa.faults = { unwrap: "KeyUnavailable", version: "KeyUnavailable" };
    expect((await unwrap(harness, json["ciphertext"])).status).toBe(200);
  });

  it("a wrap below its quorum is no wrap", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2), cc: fakeProvider(3) };
    const harness = setup(members);
    members.aa.faults = { wrap: "Timeout" };
    expect((await wrap(harness)).status).toBe(200);
    members.bb.faults = { wrap: "Timeout" };
    expect(problemCode(await wrap(harness))).toBe("DependencyTimeout");
  });

  it("a wrap that cannot be unwrapped does not count", async () => {
    const members = { aa: fakeProvider(1), bb: fakeProvider(2) };
    const harness = setup(members);
    members.aa.faults = { unwrap: "AccessDenied" };
    expect((await wrap(harness)).json["degraded"]).toEqual(["aa"]);
  });
});

type Fault = "refuses" | "hangs";

/** A store that fails before or after it has kept what it was given. */
function faultyRecorder(faults: { intent?: Fault; outcome?: Fault }, keeps: boolean) {
  const kept: string[] = [];
  const act = (kind: "intent" | "outcome"): Promise<void> => {
    if (faults[kind] === undefined || keeps) kept.push(kind);
    if (faults[kind] === undefined) return Promise.resolve();
    return faults[kind] === "hangs" ? new Promise(() => {}) : Promise.reject(new Error("disk full"));
  };
  return { kept, recorder: { intent: () => act("intent"), outcome: () => act("outcome") } };
}

describe("when the record fails", () => {
  for (const keeps of [false, true]) {
    const when = keeps ? "after" : "before";
    it.each(["refuses", "hangs"] as const)(
      `no cloud is asked: the store %s the intent, ${when} it kept it`,
      async (fault) => {
        const aa = fakeProvider();
        const { kept, recorder } = faultyRecorder({ intent: fault }, keeps);
        const harness = setup({ aa }, {}, recorder);
        const headers = { "x-timeout-ms": "600" };
        const answer = await wrap(harness, { mistakes: { headers } });
        expect([answer.status, problemCode(answer)]).toEqual([503, "AuditUnavailable"]);
        expect(answer.json["retryable"]).toBe(true);
        expect(aa.calls).toEqual([]);
        expect(kept).toEqual(keeps ? ["intent"] : []);
        expect(harness.counted).toContainEqual({ name: "kek_broker_intents_failed_total", labels: {} });
      },
    );

    it.each(["refuses", "hangs"] as const)(
      `the answer still comes: the store %s the outcome, ${when} it kept it`,
      async (fault) => {
        const { recorder } = faultyRecorder({ outcome: fault }, keeps);
        const harness = setup({ aa: fakeProvider() }, {}, recorder);
        const answer = await wrap(harness, { mistakes: {} });
        expect(answer.status, answer.text).toBe(200);
        const late = { name: "kek_broker_outcomes_late_total", labels: {} };
        if (fault === "hangs") expect(harness.counted).toContainEqual(late);
      },
    );
  }

  it("an intent that hangs is given up after half a second, though the caller has more time", async () => {
    const { recorder } = faultyRecorder({ intent: "hangs" }, false);
    const start = performance.now();
    const answer = await wrap(setup({ aa: fakeProvider() }, {}, recorder));
    expect(problemCode(answer)).toBe("AuditUnavailable");
    expect(performance.now() - start).toBeLessThan(1500);
  });

  it("a caller whose time runs out meanwhile is told that, and the record is not blamed", async () => {
    const { recorder } = faultyRecorder({ intent: "hangs" }, false);
    const harness = setup({ aa: fakeProvider() }, {}, recorder);
    const answer = await wrap(harness, { mistakes: { headers: { "x-timeout-ms": "50" } } });
    expect([answer.status, problemCode(answer)]).toEqual([503, "DependencyTimeout"]);
    expect(harness.counted).not.toContainEqual({ name: "kek_broker_intents_failed_total", labels: {} });
  });

  it("an unwrap gives nothing away either", async () => {
    const aa = fakeProvider();
    const good = setup({ aa });
    const { json } = await wrap(good);
    const { recorder } = faultyRecorder({ intent: "refuses" }, false);
    const answer = await unwrap(setup({ aa }, {}, recorder), json["ciphertext"]);
    expect(problemCode(answer)).toBe("AuditUnavailable");
    expect(answer.text).not.toContain(PLAINTEXT);
  });

  it("the intent is there before any cloud is asked", async () => {
    const order: string[] = [];
    const aa = fakeProvider();
    const watched: FakeProvider = {
      ...aa,
      wrap: (...all) => {
        order.push("cloud");
        return aa.wrap(...all);
      },
    };
    const recorder: Recorder = {
      intent: async () => void order.push("intent"),
      outcome: async () => void order.push("outcome"),
    };
    await wrap(setup({ aa: watched }, {}, recorder));
    expect(order).toEqual(["intent", "cloud", "outcome"]);
  });
});

describe("rates", () => {
  const limited = (principal: object, cluster: object) => {
    const config = configInput({ rateLimit: { principal, cluster } as never });
    return makeHarness({ config });
  };
  const plenty = { perSecond: 1000, burst: 1000 };

  it("of a caller end in 429 with the seconds to wait, and recover", async () => {
    const harness = limited({ perSecond: 0.25, burst: 2 }, plenty);
    expect([(await wrap(harness)).status, (await wrap(harness)).status]).toEqual([200, 200]);
    const answer = await wrap(harness);
    expect([answer.status, problemCode(answer), answer.headers.get("retry-after")]).toEqual([
      429,
      "Throttled",
      "4",
    ]);
    harness.clock += 4000;
    expect((await wrap(harness, fresh(harness.clock))).status).toBe(200);
    expect((await wrap(harness, fresh(harness.clock))).status).toBe(429);
  });

  it("of one caller do not touch another", async () => {
    const harness = limited({ perSecond: 0.1, burst: 1 }, plenty);
    await wrap(harness);
    expect((await wrap(harness)).status).toBe(429);
    const other = { subject: "prod-eu-1/cp-2", mistakes: { signer: keys.secondNode } };
    expect((await wrap(harness, other)).status).toBe(200);
  });

  it("of a cluster hold all its callers together", async () => {
    const harness = limited(plenty, { perSecond: 0.1, burst: 1 });
    await wrap(harness);
    const other = { subject: "prod-eu-1/cp-2", mistakes: { signer: keys.secondNode } };
    expect((await wrap(harness, other)).status).toBe(429);
    expect(
      (await wrap(harness, { subject: "prod-us-1/cp-1", mistakes: { signer: keys.otherCluster } })).status,
    ).toBe(200);
  });

  it("are not used up by strangers who name a caller", async () => {
    const harness = limited({ perSecond: 0.1, burst: 1 }, plenty);
    for (let times = 0; times < 5; times++) await wrap(harness, { mistakes: { signer: keys.stranger } });
    expect((await wrap(harness)).status).toBe(200);
  });

  it("survive a clock that goes back", async () => {
    const harness = limited({ perSecond: 1, burst: 1 }, plenty);
    await wrap(harness);
    harness.clock -= 3000;
    const answer = await call(harness, "POST", WRAP, { plaintext: PLAINTEXT }, fresh(harness.clock));
    expect(problemCode(answer)).toBe("Throttled");
  });
});

/** A token of that time. */
function fresh(now: number) {
  return { mistakes: { claims: { iat: now / 1000, exp: now / 1000 + 30 } } };
}
