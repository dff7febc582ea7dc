/** `Date` has whole seconds and travels; below this a difference is no error of the clock. */
const TOLERANCE_MS = 5_000;
/** Beyond this the broker's own clock is as suspect as ours. */
const MAX_CORRECTION_MS = 24 * 3_600_000;

/** What a broker's `Date` said about our clock. */
export type ClockReading = "unchanged" | "corrected" | "too far";

/**
 * A broker's clock as seen from here. Tokens carry the time of the broker that checks them, so that a node whose
 * clock is wrong is not locked out.
 */
export class BrokerClock {
  #offsetMs = 0;

  /** How far the broker is ahead of us. */
  get offsetMs(): number {
    return this.#offsetMs;
  }

  /**
   * Takes in the `Date` header of an answer (RFC 9110, section 6.6.1).
   * @param wallMs our own time of receipt
   */
  read(date: string | undefined, wallMs: number): ClockReading {
    const theirs = date === undefined ? Number.NaN : Date.parse(date);
    if (Number.isNaN(theirs)) return "unchanged";
    const offset = theirs - wallMs;
    if (Math.abs(offset) > MAX_CORRECTION_MS) return "too far";
    const wanted = Math.abs(offset) <= TOLERANCE_MS ? 0 : offset;
    if (Math.abs(wanted - this.#offsetMs) <= TOLERANCE_MS) return "unchanged";
    this.#offsetMs = wanted;
    return "corrected";
  }
}
