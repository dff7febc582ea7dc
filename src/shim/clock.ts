import { setTimeout as delay } from "node:timers/promises";

/** Time as the shim sees it; tests bring their own. */
export interface Clock {
  /** Milliseconds since the epoch: what goes into tokens. May be wrong, may jump. */
  wall(): number;
  /** Milliseconds since some moment, never going back: what deadlines and waits are counted in. */
  now(): number;
  /** Rejects when the signal aborts. */
  sleep(ms: number, signal: AbortSignal): Promise<void>;
}

export const systemClock: Clock = {
  wall: () => Date.now(),
  now: () => performance.now(),
  sleep: async (ms, signal) => {
    await delay(ms, undefined, { signal });
  },
};

/** Within `spread` (0.1 is ± 10 %) of `ms`; `random` gives 0 to 1. */
export function jittered(ms: number, spread: number, random: () => number): number {
  return ms * (1 + spread * (2 * random() - 1));
}
