import { beforeEach, describe, expect, it } from "vitest";

import { Breaker, type Outcome } from "../../src/kms/breaker.ts";

let now: number;
let breaker: Breaker;

beforeEach(() => {
  now = 1_000;
  breaker = new Breaker({ failures: 3, cooldownMs: 100, now: () => now });
});

function calls(...outcomes: Outcome[]): void {
  for (const outcome of outcomes) {
    const pass = breaker.enter();
    if (pass === undefined) throw new Error("refused");
    breaker.leave(pass, outcome);
  }
}

describe("a breaker", () => {
  it("opens at the given number of failures in a row", () => {
    calls("failed", "failed");
    expect(breaker.enter()).toBe("call");
    calls("failed");
    expect(breaker.enter()).toBeUndefined();
  });

  it("starts counting anew after an answer, but not after a call that taught nothing", () => {
    calls("failed", "failed", "answered", "failed", "failed", "unknown");
    expect(breaker.enter()).toBe("call");
    calls("failed");
    expect(breaker.enter()).toBeUndefined();
  });

  it("lets one call probe after the cooldown, and refuses the others meanwhile", () => {
    calls("failed", "failed", "failed");
    now += 99;
    expect(breaker.enter()).toBeUndefined();
    now += 1;
    expect(breaker.enter()).toBe("probe");
    expect(breaker.enter()).toBeUndefined();
  });

  it("closes when the probe is answered", () => {
    calls("failed", "failed", "failed");
    now += 100;
    calls("answered", "failed", "failed");
    expect(breaker.enter()).toBe("call");
  });

  it("stays open for another cooldown when the probe fails", () => {
    calls("failed", "failed", "failed");
    now += 100;
    calls("failed");
    now += 99;
    expect(breaker.enter()).toBeUndefined();
    now += 1;
    expect(breaker.enter()).toBe("probe");
  });

  it("lets the next call probe when the probe taught nothing", () => {
    calls("failed", "failed", "failed");
    now += 100;
    calls("unknown");
    expect(breaker.enter()).toBe("probe");
  });

  it("is not moved by calls that began before it opened", () => {
    const late = [breaker.enter(), breaker.enter()];
    expect(late).toStrictEqual(["call", "call"]);
    calls("failed", "failed", "failed");
    now += 50;
    breaker.leave("call", "failed");
    breaker.leave("call", "answered");
    expect(breaker.enter()).toBeUndefined();
    now += 50;
    expect(breaker.enter()).toBe("probe");
  });
});
