import * as fc from "fast-check";
import { describe, expect, test } from "vitest";

import { KeyIdTracker } from "../../src/shim/key-id.ts";

const A = "k.0.a";
const B = "k.0.b";
const C = "k.0.c";
const POLL = 40_000;

/** Polls 40 s apart, one id each. */
function poll(tracker: KeyIdTracker, ...ids: readonly (string | null)[]) {
  return ids.map((id, index) => tracker.observeStatus(id, (index + 1) * POLL).kind);
}

describe("the first key id", () => {
  test("is taken at once", () => {
    const tracker = new KeyIdTracker();
    expect(tracker.current).toBeUndefined();
    expect(tracker.observeStatus(A, 0)).toEqual({ kind: "first", keyId: A });
    expect(tracker.current).toBe(A);
  });

  test("is not null, and not a wrap's", () => {
    const tracker = new KeyIdTracker();
    tracker.observeStatus(null, 0);
    tracker.observeWrap(A);
    expect(tracker.current).toBeUndefined();
  });
});

describe("a new key id", () => {
  test("is taken once two polls and a wrap have shown it", () => {
    const tracker = new KeyIdTracker();
    expect(poll(tracker, A, B)).toEqual(["first", "none"]);
    expect(tracker.wantsWrap).toBe(false);
    tracker.observeStatus(B, 3 * POLL);
    expect(tracker.wantsWrap).toBe(true);
    expect(tracker.current).toBe(A);
    expect(tracker.observeWrap(B)).toEqual({ kind: "changed", from: A, keyId: B });
    expect(tracker.current).toBe(B);
    expect(tracker.wantsWrap).toBe(false);
  });

  test("is taken at the second poll when a wrap came before it", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A, B);
    expect(tracker.observeWrap(B).kind).toBe("none");
    expect(tracker.observeStatus(B, 3 * POLL).kind).toBe("changed");
  });

  test("is not taken while clouds still seal with the old version", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A, B, B, B, B);
    for (let wrap = 0; wrap < 100; wrap++) tracker.observeWrap(A);
    expect(tracker.current).toBe(A);
    expect(tracker.wantsWrap).toBe(true);
  });

  test("is not taken if the newest wrap was under the old one again", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A, B);
    tracker.observeWrap(B);
    tracker.observeWrap(A);
    expect(tracker.observeStatus(B, 3 * POLL).kind).toBe("none");
  });

  test("is not taken from two polls within the broker's memory: they are one reading", () => {
    const tracker = new KeyIdTracker();
    tracker.observeStatus(A, 0);
    tracker.observeStatus(B, 40_000);
    tracker.observeWrap(B);
    expect(tracker.observeStatus(B, 69_999).kind).toBe("none");
    expect(tracker.observeStatus(B, 70_000).kind).toBe("changed");
  });

  test("is not taken when polls alternate", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A, B, A, B, A, B, C, B);
    tracker.observeWrap(B);
    expect(tracker.current).toBe(A);
  });

  test("null between two polls changes nothing", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A, null, B, null, B);
    tracker.observeWrap(null);
    expect(tracker.current).toBe(A);
    expect(tracker.observeWrap(B).kind).toBe("changed");
  });

  test("that was left before is never taken again, and said to be refused", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, A);
    tracker.observeWrap(A);
    poll(tracker, B, B);
    tracker.observeWrap(B);
    expect(tracker.current).toBe(B);
    for (let round = 4; round < 20; round++) {
      expect(tracker.observeStatus(A, round * POLL)).toEqual({ kind: "refused", keyId: A });
      tracker.observeWrap(A);
    }
    expect(tracker.current).toBe(B);
    expect(tracker.wantsWrap).toBe(false);
  });

  test("of a lower epoch is never taken, whether it was shown before or not, and said to be refused", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, "k.10.a");
    for (let round = 2; round < 20; round++) {
      const kind = tracker.observeStatus("k.9.b", round * POLL).kind;
      tracker.observeWrap("k.9.b");
      expect(kind).toBe("refused");
    }
    expect(tracker.current).toBe("k.10.a");
    poll(tracker, "k.11.a", "k.11.a");
    expect(tracker.observeWrap("k.11.a").kind).toBe("changed");
  });

  test("may be the first one again, if nothing was wrapped under that: it was read too early", () => {
    const tracker = new KeyIdTracker();
    poll(tracker, B, A, A);
    expect(tracker.observeWrap(A)).toEqual({ kind: "changed", from: B, keyId: A });
    poll(tracker, B, B);
    expect(tracker.observeWrap(B)).toEqual({ kind: "changed", from: A, keyId: B });
    for (let round = 4; round < 20; round++) {
      expect(tracker.observeStatus(A, round * POLL).kind).toBe("refused");
      tracker.observeWrap(A);
    }
  });

  test("64 ids that were left are remembered", () => {
    const tracker = new KeyIdTracker();
    tracker.observeStatus("id-0", 0);
    tracker.observeWrap("id-0");
    for (let id = 1; id <= 65; id++) {
      tracker.observeStatus(`id-${id}`, 2 * id * POLL);
      tracker.observeWrap(`id-${id}`);
      tracker.observeStatus(`id-${id}`, (2 * id + 1) * POLL);
    }
    expect(tracker.current).toBe("id-65");
    expect(tracker.observeStatus("id-1", 1e9).kind).toBe("refused");
    expect(tracker.observeStatus("id-0", 2e9).kind).toBe("none");
  });
});

/**
 * A KEK whose versions go 0, 1, 2 …; statuses and wraps may lag behind by what has not settled yet, never run ahead.
 */
type Step =
  | { readonly kind: "rotate" }
  | { readonly kind: "status"; readonly lag: number; readonly afterMs: number }
  | { readonly kind: "silent" }
  | { readonly kind: "wrap"; readonly lag: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "rotate" }) },
  {
    weight: 5,
    arbitrary: fc.record({
      kind: fc.constant<"status">("status"),
      lag: fc.nat(2),
      afterMs: fc.constantFrom(1_000, 36_000, 44_000),
    }),
  },
  { weight: 1, arbitrary: fc.constant<Step>({ kind: "silent" }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant<"wrap">("wrap"), lag: fc.nat(2) }) },
);

describe("whatever order statuses and wraps come in", () => {
  test("ids only go forward, at most once per rotation, and only on evidence", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 120 }), (steps) => {
        const tracker = new KeyIdTracker();
        let version = 0;
        let now = 0;
        const changes: { apart: number; wrapAgreed: boolean }[] = [];
        let shown = -1;
        const readings: { version: number; at: number }[] = [];
        let newestWrap: number | undefined;
        for (const action of steps) {
          const old = (lag: number) => Math.max(0, version - lag);
          if (action.kind === "rotate") version += 1;
          if (action.kind === "silent") tracker.observeStatus(null, now);
          if (action.kind === "status") {
            now += action.afterMs;
            readings.push({ version: old(action.lag), at: now });
            tracker.observeStatus(`v${old(action.lag)}`, now);
          }
          if (action.kind === "wrap") {
            newestWrap = old(action.lag);
            tracker.observeWrap(`v${newestWrap}`);
          }
          const current = tracker.current === undefined ? -1 : Number(tracker.current.slice(1));
          if (current !== shown && shown !== -1) {
            const seen = readings.filter((reading) => reading.version === current).map(({ at }) => at);
            changes.push({
              apart: Math.max(...seen) - Math.min(...seen),
              wrapAgreed: newestWrap === current,
            });
          }
          shown = current;
        }
        expect(changes.every(({ apart, wrapAgreed }) => apart >= 30_000 && wrapAgreed)).toBe(true);
        expect(changes.length).toBeLessThanOrEqual(version);
      }),
    );
  });

  test("no id that wrapped anything is shown twice, even if the world goes back", () => {
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.constantFrom("a", "b", "c", "d"), fc.constantFrom("a", "b", "c", "d")), {
          maxLength: 200,
        }),
        (rounds) => {
          const tracker = new KeyIdTracker();
          const shown: string[] = [];
          for (const [index, [status, wrap]] of rounds.entries()) {
            tracker.observeStatus(status, index * POLL);
            tracker.observeWrap(index === 0 ? status : wrap);
            if (tracker.current !== undefined && tracker.current !== shown.at(-1))
              shown.push(tracker.current);
          }
          expect(new Set(shown).size).toBe(shown.length);
        },
      ),
    );
  });

  test("each true rotation that settles is exactly one change, within two polls and a probe", () => {
    fc.assert(
      fc.property(fc.array(fc.array(step, { maxLength: 6 }), { maxLength: 8 }), (turmoils) => {
        const tracker = new KeyIdTracker();
        let now = 0;
        tracker.observeStatus("v0", now);
        for (const [index, turmoil] of turmoils.entries()) {
          const version = index + 1; // one rotation, and old and new readings mixed until it settles
          for (const action of turmoil) {
            const lag = "lag" in action ? Math.min(1, action.lag) : 0;
            now += POLL;
            if (action.kind === "status") tracker.observeStatus(`v${version - lag}`, now);
            if (action.kind === "wrap") tracker.observeWrap(`v${version - lag}`);
          }
          tracker.observeStatus(`v${version}`, (now += POLL));
          tracker.observeStatus(`v${version}`, (now += POLL));
          if (tracker.wantsWrap) tracker.observeWrap(`v${version}`);
          expect(tracker.current).toBe(`v${version}`);
        }
      }),
    );
  });
});
