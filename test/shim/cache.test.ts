import * as fc from "fast-check";
import { describe, expect, test, vi } from "vitest";

import { cacheKey, DekCache } from "../../src/shim/cache.ts";
import { SingleFlight } from "../../src/shim/single-flight.ts";

/** The buffers the cache holds, seen by watching how they are made. */
function spyOnBuffers(act: () => void): Uint8Array[] {
  const spy = vi.spyOn(Uint8Array.prototype, "fill");
  act();
  const made = spy.mock.contexts.filter((context) => context instanceof Uint8Array);
  spy.mockRestore();
  return made;
}

describe("the cache of unwrapped DEKs", () => {
  test("gives back what was put in, as a copy both ways", () => {
    const cache = new DekCache();
    const dek = Uint8Array.of(1, 2, 3);
    cache.set("k", dek);
    dek.fill(9);
    const first = cache.get("k");
    expect(first).toEqual(Uint8Array.of(1, 2, 3));
    first?.fill(7);
    expect(cache.get("k")).toEqual(Uint8Array.of(1, 2, 3));
    expect(cache.get("other")).toBeUndefined();
  });

  test("forgets the least recently used, and zeroes it", () => {
    const cache = new DekCache(2);
    const zeroed = spyOnBuffers(() => {
      cache.set("a", Uint8Array.of(1));
      cache.set("b", Uint8Array.of(2));
      cache.get("a");
      cache.set("c", Uint8Array.of(3));
    });
    expect(cache.size).toBe(2);
    expect(cache.get("b")).toBeUndefined();
    expect(cache.get("a")).toEqual(Uint8Array.of(1));
    expect(zeroed).toEqual([Uint8Array.of(0)]);
  });

  test("never replaces one by another", () => {
    const cache = new DekCache();
    expect(cache.set("a", Uint8Array.of(1))).toBe(true);
    expect(cache.set("a", Uint8Array.of(1))).toBe(true);
    expect(cache.set("a", Uint8Array.of(2))).toBe(false);
    expect(cache.set("a", Uint8Array.of(1, 1))).toBe(false);
    expect(cache.get("a")).toEqual(Uint8Array.of(1));
  });

  test("zeroes all that is cleared", () => {
    const cache = new DekCache();
    const zeroed = spyOnBuffers(() => {
      cache.set("a", Uint8Array.of(1));
      cache.set("b", Uint8Array.of(3));
      cache.clear();
    });
    expect(zeroed).toHaveLength(2);
    expect(zeroed.every((buffer) => buffer.every((byte) => byte === 0))).toBe(true);
    expect(cache.size).toBe(0);
  });

  test("holds buffers of its own, outside the pool that Node shares out", () => {
    const cache = new DekCache();
    cache.set("a", Buffer.from("secret"));
    expect(cache.get("a")?.buffer.byteLength).toBe(6);
  });
});

describe("the cache key", () => {
  const parts = fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 4 });

  test("differs whenever the list of parts does", () => {
    fc.assert(
      fc.property(parts, parts, (a, b) => {
        const same = a.length === b.length && a.every((part, index) => Buffer.compare(part, b[index]!) === 0);
        expect(cacheKey(...a) === cacheKey(...b)).toBe(same);
      }),
    );
  });

  test("tells where one part ends and the next begins", () => {
    expect(cacheKey(Buffer.from("ab"), Buffer.from("c"))).not.toBe(
      cacheKey(Buffer.from("a"), Buffer.from("bc")),
    );
  });
});

describe("single flight", () => {
  test("identical requests are one, others are their own", async () => {
    const flights = new SingleFlight<number>();
    let starts = 0;
    const start = async () => ++starts;
    const [a, b, c] = await Promise.all([
      flights.run("x", start),
      flights.run("x", start),
      flights.run("y", start),
    ]);
    expect([a, b, c, starts]).toEqual([1, 1, 2, 2]);
    expect(flights.size).toBe(0);
  });

  test("a failure is shared, and forgotten", async () => {
    const flights = new SingleFlight<number>();
    const fail = async () => Promise.reject(new Error("down"));
    const both = await Promise.allSettled([flights.run("x", fail), flights.run("x", fail)]);
    expect(both.map(({ status }) => status)).toEqual(["rejected", "rejected"]);
    expect(await flights.run("x", async () => 7)).toBe(7);
  });
});
