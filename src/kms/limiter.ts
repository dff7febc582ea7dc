import { ProviderError } from "./key-provider.ts";

/** Bounds how much runs at once and how much waits for it, first come first served. */
export class Limiter {
  readonly #concurrency: number;
  readonly #queueLength: number;
  readonly #waiting = new Set<() => void>();
  #running = 0;

  constructor(concurrency: number, queueLength: number) {
    this.#concurrency = concurrency;
    this.#queueLength = queueLength;
  }

  /**
   * Runs the work when there is room for it.
   * @throws ProviderError `Throttled` when the queue is full, or the signal aborts before there was room.
   */
  async run<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    if (this.#running < this.#concurrency) this.#running++;
    else await this.#wait(signal);
    try {
      return await work();
    } finally {
      this.#handOn();
    }
  }

  #wait(signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#waiting.size >= this.#queueLength) return Promise.reject(noRoom());
    return new Promise((resolve, reject) => {
      const enter = () => {
        signal.removeEventListener("abort", giveUp);
        resolve();
      };
      const giveUp = () => {
        this.#waiting.delete(enter);
        reject(noRoom());
      };
      this.#waiting.add(enter);
      signal.addEventListener("abort", giveUp, { once: true });
    });
  }

  /** The place goes to the next in line without being free in between, so that nobody overtakes. */
  #handOn(): void {
    const [next] = this.#waiting;
    if (next === undefined) {
      this.#running--;
      return;
    }
    this.#waiting.delete(next);
    next();
  }
}

function noRoom(): ProviderError {
  return new ProviderError("Throttled", "too many calls to this member are under way in this broker");
}
