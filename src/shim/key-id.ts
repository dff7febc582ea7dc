/** A broker remembers what it read for 30 s: two answers closer than that are one reading. */
const READING_LASTS_MS = 30_000;
/** Ids left behind that are remembered, so that none is taken again. */
const MAX_LEFT = 64;

/** What an observation did. */
export type KeyIdEvent =
  | { readonly kind: "none" }
  /** The first id of all: nothing is encrypted yet that it could disagree with. */
  | { readonly kind: "first"; readonly keyId: string }
  | { readonly kind: "changed"; readonly from: string; readonly keyId: string }
  /** An id that was left before, or of a lower epoch: going back takes a higher epoch at the broker, hence another id. */
  | { readonly kind: "refused"; readonly keyId: string };

const NONE: KeyIdEvent = { kind: "none" };

interface Candidate {
  readonly keyId: string;
  readonly firstSeen: number;
  seenTwice: boolean;
  /** The newest wrap came back under it. */
  wrapped: boolean;
}

/**
 * Which key_id the shim shows. A changed version in a cloud only raises suspicion, since clouds go on sealing with
 * the old one for a while: a new id is taken when two readings in a row showed it **and** the newest wrap came back
 * under exactly that id; then at once, and never back, nor to a lower epoch. `null` says nothing.
 *
 * The very first id is a reading and no more. If nothing was ever wrapped under it, it may have been early, so it may
 * come again: never taking it again would leave the shim on the old one for good.
 */
export class KeyIdTracker {
  #current: string | undefined;
  /** A wrap came back under the current id. */
  #proven = false;
  #candidate: Candidate | undefined;
  readonly #left = new Set<string>();

  /** What Status and Encrypt answer. */
  get current(): string | undefined {
    return this.#current;
  }

  /** Whether only a wrap is missing: a probe would decide. */
  get wantsWrap(): boolean {
    return this.#candidate !== undefined && this.#candidate.seenTwice && !this.#candidate.wrapped;
  }

  /** @param now monotonic milliseconds */
  observeStatus(keyId: string | null, now: number): KeyIdEvent {
    if (keyId === null) return NONE;
    if (this.#current === undefined) {
      this.#current = keyId;
      return { kind: "first", keyId };
    }
    if (keyId === this.#current) {
      this.#candidate = undefined;
      return NONE;
    }
    if (this.#left.has(keyId) || isOlder(keyId, this.#current)) {
      this.#candidate = undefined;
      return { kind: "refused", keyId };
    }
    if (this.#candidate?.keyId !== keyId) {
      this.#candidate = { keyId, firstSeen: now, seenTwice: false, wrapped: false };
      return NONE;
    }
    this.#candidate.seenTwice ||= now - this.#candidate.firstSeen >= READING_LASTS_MS;
    return this.#decide();
  }

  /** The id a wrap's answer came with: evidence, whoever asked for the wrap. */
  observeWrap(keyId: string | null): KeyIdEvent {
    if (keyId === null) return NONE;
    this.#proven ||= keyId === this.#current;
    if (this.#candidate === undefined) return NONE;
    this.#candidate.wrapped = keyId === this.#candidate.keyId;
    return this.#decide();
  }

  #decide(): KeyIdEvent {
    const from = this.#current;
    if (from === undefined || !this.#candidate?.seenTwice || !this.#candidate.wrapped) return NONE;
    const { keyId } = this.#candidate;
    if (this.#proven) this.#leave(from);
    this.#current = keyId;
    this.#proven = true;
    this.#candidate = undefined;
    return { kind: "changed", from, keyId };
  }

  #leave(keyId: string): void {
    this.#left.add(keyId);
    const [oldest] = this.#left;
    if (this.#left.size > MAX_LEFT && oldest !== undefined) this.#left.delete(oldest);
  }
}

/** Brokers get a new configuration one by one: one that has yet to is no reason to go back. */
function isOlder(keyId: string, current: string): boolean {
  return epochOf(keyId) < epochOf(current);
}

/** Of `<kek>.<epoch>.<hash>`. */
function epochOf(keyId: string): number {
  return Number(keyId.split(".").at(-2) ?? 0);
}
