import { setTimeout as delay } from "node:timers/promises";

/** How long, and how often, to look. */
export interface Bound {
  readonly withinMs: number;
  readonly everyMs?: number;
  /** Looking is pointless once this is false. */
  readonly while?: () => boolean;
}

/**
 * Asks `probe` until it returns something other than undefined.
 * A probe that throws counts as "not yet"; its last error is the cause once the bound has passed.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined> | T | undefined,
  { withinMs, everyMs = 50, while: worthwhile = () => true }: Bound,
): Promise<T> {
  const deadline = performance.now() + withinMs;
  let cause: unknown;
  while (performance.now() < deadline) {
    if (!worthwhile()) throw new Error(`given up: ${what}`, { cause });
    try {
      const found = await probe();
      if (found !== undefined) return found;
      cause = undefined;
    } catch (error) {
      cause = error;
    }
    await delay(everyMs);
  }
  throw new Error(`not within ${withinMs} ms: ${what}`, { cause });
}
