export interface BreakerOptions {
  /** This many failures in a row open it. */
  readonly failures: number;
  /** How long it then refuses calls before one may probe, in milliseconds. */
  readonly cooldownMs: number;
  /** Milliseconds of a clock that never steps: a wall clock set back would keep the breaker open. */
  readonly now: () => number;
}

/** `probe` is the one call let through to see whether the other side is back. */
export type Pass = "call" | "probe";

/** `answered`: the other side works, whatever it said. `unknown`: nothing was learnt, as when the caller gave up. */
export type Outcome = "answered" | "failed" | "unknown";

/**
 * A circuit breaker. While it is open, and while the probe is under way, everybody else is refused at once, so that
 * they turn to another member instead of waiting.
 */
export class Breaker {
  readonly #options: BreakerOptions;
  #failuresInRow = 0;
  #probeAt: number | undefined;
  #probing = false;

  constructor(options: BreakerOptions) {
    this.#options = options;
  }

  /** Whether it refuses, now or until a probe is answered: for those who got their pass before it opened. */
  get isOpen(): boolean {
    return this.#probeAt !== undefined;
  }

  /** Asks for a pass, which must be given back with {@link leave}; `undefined` is a refusal. */
  enter(): Pass | undefined {
    if (this.#probeAt === undefined) return "call";
    if (this.#probing || this.#options.now() < this.#probeAt) return undefined;
    this.#probing = true;
    return "probe";
  }

  leave(pass: Pass, outcome: Outcome): void {
    if (pass === "probe") return this.#endProbe(outcome);
    // Calls from before it opened come home late and say nothing new.
    if (this.#probeAt !== undefined) return;
    if (outcome === "answered") this.#failuresInRow = 0;
    if (outcome === "failed" && ++this.#failuresInRow >= this.#options.failures) this.#open();
  }

  #endProbe(outcome: Outcome): void {
    this.#probing = false;
    if (outcome === "failed") this.#open();
    if (outcome === "answered") {
      this.#probeAt = undefined;
      this.#failuresInRow = 0;
    }
  }

  #open(): void {
    this.#probeAt = this.#options.now() + this.#options.cooldownMs;
  }
}
