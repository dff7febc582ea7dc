import { untilAborted } from "../until-aborted.ts";

/** What ends: an access token, or a cloud's temporary credentials. */
interface Ending {
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface CachedOptions<Value extends Ending> {
  /** Gets a new one; its signal ends it. Rejects with ProviderError. */
  readonly get: (signal: AbortSignal) => Promise<Value>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Lets work outlive the request that began it, where a runtime would end it. */
  readonly background?: ((work: Promise<unknown>) => void) | undefined;
  /** The most time for getting one. */
  readonly limitMs?: number;
}

const LIMIT_MS = 5_000;
/** Nothing is believed to live longer, whatever who gave it says: a refresh is where a withdrawal is noticed. */
const MAX_LIFE_MS = 24 * 3_600_000;
/** A quarter of its life before the end, and at most this long, a new one is got beside the old. */
const MAX_AHEAD_MS = 15 * 60_000;
/** What has less than this left is not handed out: it must outlive a call, and clocks differ. */
const LEAST_LEFT_MS = 30_000;
/** Between refreshes that fail while the old one still works, and between values that are refused. */
const RETRY_MS = 10_000;

/** A source with a memory. */
export interface Cached<Value> {
  (signal: AbortSignal): Promise<Value>;
  /** The last value was refused before its end: whoever asks next waits for a new one, once in ten seconds. */
  readonly forget: () => void;
}

interface Held<Value> {
  readonly value: Value;
  readonly gotAt: number;
  readonly refreshAt: number;
}

interface Flight<Value> {
  readonly startedAt: number;
  readonly result: Promise<Value>;
}

/**
 * The same source, from memory until shortly before the end. Whoever asks at the same time shares one exchange, which
 * is nobody's own: a caller that gives up takes nothing from the others. A refresh goes on behind; while it fails, the
 * old value serves until it ends.
 */
export function cached<Value extends Ending>(options: CachedOptions<Value>): Cached<Value> {
  const { get, now, background, limitMs = LIMIT_MS } = options;
  let held: Held<Value> | undefined;
  let flight: Flight<Value> | undefined;
  let retryAt = Number.NEGATIVE_INFINITY;

  const start = (): Promise<Value> => {
    const startedAt = now();
    const own: Flight<Value> = {
      startedAt,
      result: within(limitMs, get)
        .then((given) => {
          const value = { ...given, expiresAt: Math.min(given.expiresAt, startedAt + MAX_LIFE_MS) };
          const ahead = Math.min((value.expiresAt - startedAt) / 4, MAX_AHEAD_MS);
          // One given up for dropped may come late.
          if (held === undefined || held.value.expiresAt <= value.expiresAt) {
            held = { value, gotAt: now(), refreshAt: value.expiresAt - ahead };
          }
          return value;
        })
        .finally(() => {
          if (flight === own) flight = undefined;
        }),
    };
    flight = own;
    background?.(own.result.catch(() => {}));
    return own.result;
  };

  /** A flight that outlives its limit was dropped with the request that began it, or the process was frozen. */
  const join = (): Promise<Value> => {
    const age = flight === undefined ? 0 : now() - flight.startedAt;
    if (flight !== undefined && age >= 0 && age <= limitMs) return flight.result;
    return start();
  };

  const give = async (signal: AbortSignal): Promise<Value> => {
    const time = now();
    if (held === undefined || held.value.expiresAt - time < LEAST_LEFT_MS) {
      return untilAborted(signal, join());
    }
    if (time >= held.refreshAt && time >= retryAt) {
      retryAt = time + RETRY_MS;
      join().catch(() => {});
    }
    return held.value;
  };

  /** A clock that was set back makes what has ended seem to live on; what seems to come from the future is such. */
  const forget = (): void => {
    const age = held === undefined ? 0 : now() - held.gotAt;
    if (age < 0 || age >= RETRY_MS) held = undefined;
  };

  return Object.assign(give, { forget });
}

async function within<Value>(ms: number, get: (signal: AbortSignal) => Promise<Value>): Promise<Value> {
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), ms);
  try {
    return await untilAborted(controller.signal, get(controller.signal));
  } finally {
    clearTimeout(timer);
  }
}
