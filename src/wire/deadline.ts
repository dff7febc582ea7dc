/** An end to waiting. `clear` it when the work is done: timers of finished requests would else pile up. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Milliseconds left, 0 when past. */
  remaining(): number;
  /** Gives it its whole time again from now, unless it has passed. */
  restart(): void;
  clear(): void;
}

/** Why a deadline's signal aborts. */
export class OutOfTime extends Error {
  override readonly name = "OutOfTime";
}

/** Aborts after `ms`, or with the outer signal. By hand: AbortSignal.any and timeout keep what they hold alive. */
export function startDeadline(ms: number, outer?: AbortSignal): Deadline {
  const controller = new AbortController();
  const abort = (): void => controller.abort(new OutOfTime("out of time"));
  let end = performance.now() + ms;
  let timer = setTimeout(abort, ms);
  outer?.addEventListener("abort", abort, { once: true });
  if (outer?.aborted === true) abort();
  return {
    signal: controller.signal,
    remaining: () => Math.max(0, end - performance.now()),
    restart: () => {
      clearTimeout(timer);
      end = performance.now() + ms;
      timer = setTimeout(abort, ms);
    },
    clear: () => {
      clearTimeout(timer);
      outer?.removeEventListener("abort", abort);
    },
  };
}

/**
 * The promise's result, or a rejection with `why()` once the signal aborts, whichever is first. What loses goes on by
 * itself; its failure is nobody's any more, and `late` is given its result.
 */
export function orAbort<T>(
  promise: Promise<T>,
  signal: AbortSignal,
  why: () => Error = () => new OutOfTime("out of time", { cause: signal.reason }),
  late?: (result: T) => void,
): Promise<T> {
  return new Promise<T>((resolve, reject) => {
    let isGivenUp = false;
    const abort = (): void => {
      isGivenUp = true;
      reject(why());
    };
    const settle = (result: T): void => (isGivenUp ? late?.(result) : resolve(result));
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    void promise.then(settle, reject).finally(() => signal.removeEventListener("abort", abort));
  });
}

/** Whether the promise settled, well or not, within `ms`. Never rejects. */
export function settlesWithin(ms: number, promise: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    const settled = (): void => {
      clearTimeout(timer);
      resolve(true);
    };
    promise.then(settled, settled);
  });
}
