import { describe, expect, test } from "vitest";

import { BrokerClock } from "../../src/shim/broker-clock.ts";
import { BrokerList } from "../../src/shim/broker-list.ts";
import { RetryBudget } from "../../src/shim/retry-budget.ts";
import { isDenial, verdictOf, worseOf } from "../../src/shim/verdict.ts";
import { isRetryable, PROBLEM_CODES } from "../../src/wire/problem.ts";

const middle = () => 0.5;

describe("the order of brokers", () => {
  test("is the configured one", () => {
    expect(new BrokerList(["a", "b", "c"], middle).order(0)).toEqual(["a", "b", "c"]);
  });

  test("a failed one goes to the end, the one that comes back soonest before the others", () => {
    const list = new BrokerList(["a", "b", "c"], middle);
    list.failed("a", 0);
    list.failed("a", 0);
    list.failed("b", 0);
    expect(list.order(1)).toEqual(["c", "b", "a"]);
  });

  test("after its cooldown one caller tries it first, the others pass it by", () => {
    const list = new BrokerList(["a", "b"], middle);
    list.failed("a", 0);
    expect(list.order(999)).toEqual(["b", "a"]);
    expect(list.order(1_000)).toEqual(["a", "b"]);
    expect(list.order(1_000)).toEqual(["b", "a"]);
    list.succeeded("a");
    expect(list.order(1_001)).toEqual(["a", "b"]);
  });

  test("cooldowns double up to 30 s, and what a broker asks for goes before", () => {
    const list = new BrokerList(["a", "b"], middle);
    for (let failure = 0; failure < 12; failure++) list.failed("a", 0);
    expect(list.order(29_999)).toEqual(["b", "a"]);
    expect(list.order(30_000)).toEqual(["a", "b"]);
    list.succeeded("a");
    list.failed("a", 0, 7_000);
    expect(list.order(6_999)).toEqual(["b", "a"]);
    expect(list.order(7_000)).toEqual(["a", "b"]);
  });

  test("with all of them down, all are still asked", () => {
    const list = new BrokerList(["a", "b"], middle);
    list.failed("a", 0);
    list.failed("b", 1);
    expect(list.order(2)).toEqual(["a", "b"]);
  });
});

describe("the retry budget", () => {
  test("is ten retries, then one for ten calls", () => {
    const budget = new RetryBudget();
    const taken = () => {
      let count = 0;
      while (budget.withdraw()) count += 1;
      return count;
    };
    expect(taken()).toBe(10);
    for (let call = 0; call < 31; call++) budget.deposit();
    expect(taken()).toBe(3);
    for (let call = 0; call < 1_000; call++) budget.deposit();
    expect(taken()).toBe(10);
  });
});

describe("a broker's clock", () => {
  const NOW = Date.UTC(2027, 0, 1);
  const at = (ms: number) => new Date(NOW + ms).toUTCString();

  test.each([
    [0, "unchanged", 0],
    [5_000, "unchanged", 0],
    [6_000, "corrected", 6_000],
    [-3_600_000, "corrected", -3_600_000],
    [86_400_000, "corrected", 86_400_000],
    [86_401_000, "too far", 0],
    [-86_401_000, "too far", 0],
  ])("%i ms ahead: %s", (ms, reading, offset) => {
    const clock = new BrokerClock();
    expect(clock.read(at(ms), NOW)).toBe(reading);
    expect(clock.offsetMs).toBe(offset);
  });

  test("once corrected stays until it differs again, and goes back to none", () => {
    const clock = new BrokerClock();
    clock.read(at(60_000), NOW);
    expect(clock.read(at(61_000), NOW)).toBe("unchanged");
    expect(clock.offsetMs).toBe(60_000);
    expect(clock.read(at(1_000), NOW)).toBe("corrected");
    expect(clock.offsetMs).toBe(0);
  });

  test.each([undefined, "", "yesterday"])("a Date of %j says nothing", (date) => {
    expect(new BrokerClock().read(date, NOW)).toBe("unchanged");
  });
});

describe("verdicts", () => {
  test("every code that the wire calls retryable is retried, no other problem is", () => {
    for (const code of PROBLEM_CODES) expect(verdictOf(code) === "retry").toBe(isRetryable(code));
  });

  test("the denials are those of the shim itself", () => {
    expect(PROBLEM_CODES.filter(isDenial)).toEqual([
      "AuthenticationFailed",
      "ClockSkew",
      "AccessDenied",
      "Revoked",
    ]);
  });

  test("of several failures a denial is told before a broker's trouble, and that before silence", () => {
    const codes = ["Timeout", "KeyUnavailable", "Unreachable", "AccessDenied", "Internal"] as const;
    let worst: { code: (typeof codes)[number] } | undefined;
    const told = codes.map((code) => (worst = worseOf(worst, { code })).code);
    expect(told).toEqual(["Timeout", "KeyUnavailable", "KeyUnavailable", "AccessDenied", "AccessDenied"]);
  });
});
