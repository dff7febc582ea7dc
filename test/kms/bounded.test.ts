import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { bounded, type BoundedOptions } from "../../src/kms/bounded.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type ProviderErrorCode,
} from "../../src/kms/key-provider.ts";

type Answer = (call: ProviderCall) => Promise<string>;

let now: number;
beforeEach(() => {
  now = 0;
  vi.useFakeTimers();
});
afterEach(() => {
  if (vi.getTimerCount() > 0) throw new Error("a timer was left behind");
  vi.useRealTimers();
});

const good: Answer = async () => "v1";
const bad =
  (code: ProviderErrorCode): Answer =>
  () =>
    Promise.reject(new ProviderError(code, "scripted", { cloudRequestId: `cloud-${code}` }));
/** Hangs until its signal ends it, as the SDKs do. */
const slow: Answer = ({ signal }) =>
  new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new ProviderError("Timeout", "scripted")));
  });
/** Hangs and overlooks its signal. */
const deaf: Answer = () => new Promise(() => {});

/** A provider whose every call gets the next answer, the last one again and again. */
function scripted(...answers: readonly Answer[]) {
  const calls: ProviderCall[] = [];
  const next = (call: ProviderCall) => {
    calls.push(call);
    const answer = answers[Math.min(calls.length, answers.length) - 1];
    if (answer === undefined) throw new Error("nothing scripted");
    return answer(call);
  };
  const provider: KeyProvider = {
    symmetric: true,
    maxWrapBytes: 184,
    needsVersionToUnwrap: false,
    wrap: async (plaintext, _context, call) => ({ wrap: plaintext, cloudRequestId: await next(call) }),
    unwrap: async (wrap, _context, call) => ({ plaintext: wrap, keyVersion: await next(call) }),
    currentVersion: next,
  };
  return { provider, calls };
}

function under(provider: KeyProvider, options: BoundedOptions = {}) {
  return bounded(provider, { now: () => now, random: () => 0.5, breakerFailures: 2, ...options });
}

const call = (signal = new AbortController().signal): ProviderCall => ({ signal, requestId: "request-1" });
const codeOf = (promise: Promise<unknown>) =>
  promise.then(
    () => "answered",
    (error: unknown) => (error instanceof ProviderError ? error.code : error),
  );

describe("a bounded provider", () => {
  it("passes everything through, both ways", async () => {
    const { provider, calls } = scripted(good);
    const safe = under(provider);
    const bytes = Uint8Array.of(1, 2, 3);
    const context = { kek: "k", cluster: "c" };
    expect(await safe.wrap(bytes, context, call())).toStrictEqual({ wrap: bytes, cloudRequestId: "v1" });
    expect(await safe.unwrap(bytes, context, call())).toStrictEqual({ plaintext: bytes, keyVersion: "v1" });
    expect(await safe.currentVersion(call())).toBe("v1");
    expect(calls.map(({ requestId }) => requestId)).toStrictEqual(["request-1", "request-1", "request-1"]);
    expect(safe).toMatchObject({ symmetric: true, maxWrapBytes: 184, needsVersionToUnwrap: false });
  });

  it("hands the version to unwrap on", async () => {
    const { provider } = scripted(good);
    const unwrap = vi.spyOn(provider, "unwrap");
    const version = new Uint8Array(16);
    await under(provider).unwrap(Uint8Array.of(1), { kek: "k", cluster: "c" }, call(), version);
    expect(unwrap.mock.calls[0]?.[3]).toBe(version);
  });
});

describe("the deadline", () => {
  it.each([
    ["that heeds its signal", slow],
    ["that overlooks its signal", deaf],
  ])("ends a call %s", async (_, answer) => {
    const { provider, calls } = scripted(answer);
    const code = codeOf(under(provider, { deadlineMs: 700 }).currentVersion(call()));
    await vi.advanceTimersByTimeAsync(699);
    expect(calls[0]?.signal.aborted).toBe(false);
    await vi.advanceTimersByTimeAsync(1);
    expect(await code).toBe("Timeout");
    expect(calls[0]?.signal.aborted).toBe(true);
  });

  it("leaves no plaintext behind that comes after it", async () => {
    const plaintext = new Uint8Array(32).fill(7);
    let arrive = () => {};
    const arrived = new Promise<void>((resolve) => void (arrive = resolve));
    const late: KeyProvider = {
      ...scripted(good).provider,
      unwrap: () => arrived.then(() => ({ plaintext, keyVersion: "v1" })),
    };
    const context = { kek: "k", cluster: "c" };
    const code = codeOf(under(late, { deadlineMs: 700 }).unwrap(Uint8Array.of(1), context, call()));
    await vi.advanceTimersByTimeAsync(700);
    expect(await code).toBe("Timeout");
    arrive();
    await vi.advanceTimersByTimeAsync(0);
    expect(plaintext).toEqual(new Uint8Array(32));
  });

  it("is the caller's when that is sooner", async () => {
    const controller = new AbortController();
    const code = codeOf(under(scripted(slow).provider).currentVersion(call(controller.signal)));
    await vi.advanceTimersByTimeAsync(10);
    controller.abort();
    expect(await code).toBe("Timeout");
  });

  it("asks nothing for a caller who has gone already", async () => {
    const { provider, calls } = scripted(good);
    expect(await codeOf(under(provider).currentVersion(call(AbortSignal.abort())))).toBe("Timeout");
    expect(calls).toHaveLength(0);
  });

  it("leaves no listener on the caller's signal", async () => {
    const { signal } = new AbortController();
    const added = vi.spyOn(signal, "addEventListener");
    const removed = vi.spyOn(signal, "removeEventListener");
    await under(scripted(good).provider).currentVersion(call(signal));
    expect(added).toHaveBeenCalledTimes(1);
    expect(removed).toHaveBeenCalledTimes(1);
  });
});

describe("the retry", () => {
  it("is one, after a moment, for Unavailable; the failed attempt is told with the cloud's id", async () => {
    const { provider, calls } = scripted(bad("Unavailable"), good);
    const onRetry = vi.fn<NonNullable<ProviderCall["onRetry"]>>();
    const version = under(provider).currentVersion({ ...call(), onRetry });
    await vi.advanceTimersByTimeAsync(34);
    expect(calls).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(await version).toBe("v1");
    expect(onRetry.mock.calls.map(([error]) => error.cloudRequestId)).toStrictEqual(["cloud-Unavailable"]);
  });

  it("is not followed by another", async () => {
    const { provider, calls } = scripted(bad("Unavailable"));
    const code = codeOf(under(provider).currentVersion(call()));
    await vi.runAllTimersAsync();
    expect(await code).toBe("Unavailable");
    expect(calls).toHaveLength(2);
  });

  it.each([
    "InvalidCiphertext",
    "KeyUnavailable",
    "AccessDenied",
    "Throttled",
    "Timeout",
    "Refused",
  ] as const)("is not made for %s", async (failure) => {
    const { provider, calls } = scripted(bad(failure), good);
    expect(await codeOf(under(provider).currentVersion(call()))).toBe(failure);
    expect(calls).toHaveLength(1);
  });

  it("is inside the deadline", async () => {
    const { provider, calls } = scripted(bad("Unavailable"), good);
    const code = codeOf(under(provider, { deadlineMs: 20 }).currentVersion(call()));
    await vi.advanceTimersByTimeAsync(20);
    expect(await code).toBe("Timeout");
    expect(calls).toHaveLength(1);
  });
});

describe("the breaker", () => {
  async function failTwice(safe: KeyProvider): Promise<void> {
    for (let i = 0; i < 2; i++) {
      const code = codeOf(safe.currentVersion(call()));
      await vi.runAllTimersAsync();
      expect(["Unavailable", "Timeout"]).toContain(await code);
    }
  }

  it.each([
    ["Unavailable", bad("Unavailable")],
    ["a deadline passed", slow],
  ])("opens after %s twice: the next is refused at once, unasked", async (_, answer) => {
    const { provider, calls } = scripted(answer);
    const safe = under(provider);
    await failTwice(safe);
    const asked = calls.length;
    expect(await codeOf(safe.currentVersion(call()))).toBe("Unavailable");
    expect(calls).toHaveLength(asked);
  });

  it.each(["InvalidCiphertext", "KeyUnavailable", "AccessDenied", "Throttled", "Refused"] as const)(
    "is not opened by %s",
    async (failure) => {
      const { provider, calls } = scripted(bad(failure));
      const safe = under(provider);
      for (let i = 0; i < 10; i++) expect(await codeOf(safe.currentVersion(call()))).toBe(failure);
      expect(calls).toHaveLength(10);
    },
  );

  it("is not opened by calls that waited for room, then were cut by a deadline that the cloud did not have", async () => {
    const timely: Answer = ({ signal }) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => resolve("v1"), 600);
        signal.addEventListener("abort", () => {
          clearTimeout(timer);
          reject(new ProviderError("Timeout", "scripted"));
        });
      });
    const { provider, calls } = scripted(timely);
    const safe = under(provider, { concurrency: 2, queueLength: 4, deadlineMs: 700 });
    const codes = Array.from({ length: 6 }, () => codeOf(safe.currentVersion(call())));
    await vi.runAllTimersAsync();
    // The last two found no room in 700 ms, so the cloud was not asked.
    expect(await Promise.all(codes)).toStrictEqual([
      ...Array<string>(4).fill("answered"),
      ...Array<string>(2).fill("Throttled"),
    ]);
    expect(calls).toHaveLength(4);
    const next = codeOf(safe.currentVersion(call()));
    await vi.runAllTimersAsync();
    expect(await next).toBe("answered");
  });

  it("is obeyed by calls that waited for room while it opened", async () => {
    const { provider, calls } = scripted(slow);
    const safe = under(provider, { concurrency: 1, queueLength: 1, deadlineMs: 700, breakerFailures: 1 });
    const running = codeOf(safe.currentVersion(call()));
    await vi.advanceTimersByTimeAsync(100);
    const waiting = codeOf(safe.currentVersion(call()));
    await vi.advanceTimersByTimeAsync(1_200);
    expect(await running).toBe("Timeout");
    expect(await waiting).toBe("Unavailable");
    expect(calls).toHaveLength(1);
  });

  it("is not opened by callers who give up", async () => {
    const { provider, calls } = scripted(slow);
    const safe = under(provider);
    for (let i = 0; i < 10; i++) {
      const controller = new AbortController();
      const code = codeOf(safe.currentVersion(call(controller.signal)));
      controller.abort();
      expect(await code).toBe("Timeout");
    }
    expect(calls).toHaveLength(10);
  });

  it("lets one call probe after its cooldown, once and without a retry, and closes when that is answered", async () => {
    const { provider, calls } = scripted(
      ...Array<Answer>(4).fill(bad("Unavailable")),
      bad("Unavailable"),
      good,
    );
    const safe = under(provider, { breakerCooldownMs: 5_000 });
    await failTwice(safe);
    now += 5_000;
    expect(await codeOf(safe.currentVersion(call()))).toBe("Unavailable");
    expect(calls).toHaveLength(5);
    now += 4_999;
    expect(await codeOf(safe.currentVersion(call()))).toBe("Unavailable");
    expect(calls).toHaveLength(5);
    now += 1;
    expect(await codeOf(safe.currentVersion(call()))).toBe("answered");
    expect(await codeOf(safe.currentVersion(call()))).toBe("answered");
  });
});

describe("the number of calls under way", () => {
  it("is bounded: more wait for a place, and beyond those are Throttled", async () => {
    const { provider, calls } = scripted(slow, slow, good);
    const safe = under(provider, { concurrency: 2, queueLength: 1, deadlineMs: 700 });
    const running = [codeOf(safe.currentVersion(call())), codeOf(safe.currentVersion(call()))];
    await vi.advanceTimersByTimeAsync(100);
    const waiting = codeOf(safe.currentVersion(call()));
    expect(await codeOf(safe.currentVersion(call()))).toBe("Throttled");
    expect(calls).toHaveLength(2);

    await vi.advanceTimersByTimeAsync(600);
    expect(await Promise.all(running)).toStrictEqual(["Timeout", "Timeout"]);
    expect(await waiting).toBe("answered");
  });

  it("lets nobody wait past the deadline", async () => {
    const { provider, calls } = scripted(slow);
    const safe = under(provider, { concurrency: 1, queueLength: 1, deadlineMs: 700 });
    const running = codeOf(safe.currentVersion(call()));
    const controller = new AbortController();
    const waiting = codeOf(safe.currentVersion(call(controller.signal)));
    controller.abort();
    expect(await waiting).toBe("Throttled");
    await vi.advanceTimersByTimeAsync(700);
    expect(await running).toBe("Timeout");
    expect(calls).toHaveLength(1);
  });

  it("is not used up by calls that overlook their signal", async () => {
    const { provider } = scripted(deaf, good);
    const safe = under(provider, { concurrency: 1, queueLength: 0, deadlineMs: 700 });
    const code = codeOf(safe.currentVersion(call()));
    await vi.advanceTimersByTimeAsync(700);
    expect(await code).toBe("Timeout");
    expect(await codeOf(safe.currentVersion(call()))).toBe("answered");
  });
});
