import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

import { orAbort, OutOfTime, settlesWithin, startDeadline } from "../../src/wire/deadline.ts";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const never = new Promise<never>(() => {});

describe("a deadline", () => {
  it("aborts when its time is over, and says so", () => {
    const deadline = startDeadline(100);
    vi.advanceTimersByTime(99);
    expect([deadline.signal.aborted, deadline.remaining()]).toEqual([false, 1]);
    vi.advanceTimersByTime(1);
    expect([deadline.signal.reason, deadline.remaining()]).toEqual([expect.any(OutOfTime), 0]);
  });

  it("aborts with the outer signal, also one that has aborted already", () => {
    const outer = new AbortController();
    const early = startDeadline(100, outer.signal);
    outer.abort();
    expect(early.signal.aborted).toBe(true);
    expect(startDeadline(100, outer.signal).signal.aborted).toBe(true);
  });

  it("has its whole time again after a restart", () => {
    const deadline = startDeadline(100);
    vi.advanceTimersByTime(60);
    deadline.restart();
    vi.advanceTimersByTime(99);
    expect([deadline.signal.aborted, deadline.remaining()]).toEqual([false, 1]);
    vi.advanceTimersByTime(1);
    expect(deadline.signal.aborted).toBe(true);
  });

  it("leaves no timer, and does not follow the outer signal, once cleared", () => {
    const outer = new AbortController();
    const deadline = startDeadline(100, outer.signal);
    deadline.clear();
    outer.abort();
    expect([deadline.signal.aborted, vi.getTimerCount()]).toEqual([false, 0]);
  });
});

describe("a promise or an abort", () => {
  it("is what the promise gives, or why it failed", async () => {
    const { signal } = new AbortController();
    await expect(orAbort(Promise.resolve("done"), signal)).resolves.toBe("done");
    await expect(orAbort(Promise.reject(new RangeError("no")), signal)).rejects.toThrow(RangeError);
  });

  it("rejects once the signal aborts, with the reason that it was told to give", async () => {
    const gone = AbortSignal.abort();
    await expect(orAbort(never, gone)).rejects.toThrow(OutOfTime);
    await expect(orAbort(never, gone, () => new TypeError("mine"))).rejects.toThrow("mine");
  });

  it("hands a result to who cleans up only if nobody got it", async () => {
    const [signal, gone] = [new AbortController().signal, AbortSignal.abort()];
    const late = vi.fn<(result: string) => void>();
    await orAbort(Promise.resolve("in time"), signal, undefined, late);
    await expect(orAbort(Promise.resolve("late"), gone, undefined, late)).rejects.toThrow(OutOfTime);
    await vi.advanceTimersByTimeAsync(0);
    expect(late.mock.calls).toEqual([["late"]]);
  });
});

it("tells whether a promise settles in time", async () => {
  const slow = settlesWithin(100, never);
  await vi.advanceTimersByTimeAsync(100);
  await expect(slow).resolves.toBe(false);
  await expect(settlesWithin(100, Promise.reject(new Error("settled too")))).resolves.toBe(true);
});
