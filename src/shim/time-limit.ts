/**
 * A signal that aborts after `ms`, or with the caller's. Unlike `AbortSignal.any` it leaves nothing behind on a
 * caller's signal that lives as long as the process, once released.
 */
export class TimeLimit {
  readonly #controller = new AbortController();
  readonly #caller: AbortSignal;
  readonly #timer: NodeJS.Timeout;
  readonly #leave = (): void => {
    this.#controller.abort();
  };
  #timedOut = false;

  constructor(ms: number, caller: AbortSignal) {
    this.#caller = caller;
    this.#timer = setTimeout(() => {
      this.#timedOut = true;
      this.#controller.abort();
    }, ms);
    if (caller.aborted) this.#controller.abort();
    else caller.addEventListener("abort", this.#leave, { once: true });
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** The time ran out, as against the caller leaving. */
  get timedOut(): boolean {
    return this.#timedOut;
  }

  release(): void {
    clearTimeout(this.#timer);
    this.#caller.removeEventListener("abort", this.#leave);
  }
}

/** What the promise gives, unless the signal aborts first; the promise itself goes on. */
export function unlessAborted<Value>(promise: Promise<Value>, signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      reject(new DOMException("aborted", "AbortError"));
    };
    if (signal.aborted) abort();
    signal.addEventListener("abort", abort, { once: true });
    promise.then(resolve, reject).finally(() => {
      signal.removeEventListener("abort", abort);
    });
  });
}
