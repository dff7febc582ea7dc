/** Retries that may be in hand when all has been quiet. */
const CAPACITY = 10;
/** What each call adds: over time at most one retry to ten calls, so that retries never multiply an outage. */
const PER_CALL = 0.1;

/** A token bucket that retries are paid from. */
export class RetryBudget {
  #tokens = CAPACITY;

  /** A new call. */
  deposit(): void {
    this.#tokens = Math.min(CAPACITY, this.#tokens + PER_CALL);
  }

  /** Whether one more retry may be made; takes it if so. */
  withdraw(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
