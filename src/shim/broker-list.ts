import { jittered } from "./clock.ts";

const FIRST_COOLDOWN_MS = 1_000;
const MAX_COOLDOWN_MS = 30_000;
/** How long one caller has to find out whether a broker is back, while the others pass it by. */
const TRIAL_MS = 2_500;

interface Standing {
  failures: number;
  /** When it may be asked first again. */
  until: number;
}

/**
 * The brokers in the order to ask them: as configured, but one that failed goes to the end until its cooldown is
 * over, and then one caller alone tries it. Nobody is ever left out: with all of them down, all are asked.
 */
export class BrokerList<Broker> {
  readonly #brokers: readonly Broker[];
  readonly #standing = new Map<Broker, Standing>();
  readonly #random: () => number;

  constructor(brokers: readonly Broker[], random: () => number) {
    this.#brokers = brokers;
    this.#random = random;
  }

  order(now: number): Broker[] {
    const first: Broker[] = [];
    const last: { broker: Broker; until: number }[] = [];
    for (const broker of this.#brokers) {
      const standing = this.#standing.get(broker);
      if (standing === undefined) {
        first.push(broker);
      } else if (standing.until <= now) {
        standing.until = now + TRIAL_MS;
        first.push(broker);
      } else {
        last.push({ broker, until: standing.until });
      }
    }
    return [...first, ...last.sort((a, b) => a.until - b.until).map(({ broker }) => broker)];
  }

  succeeded(broker: Broker): void {
    this.#standing.delete(broker);
  }

  /** @param retryAfterMs what the broker asked for itself, kept within the longest cooldown */
  failed(broker: Broker, now: number, retryAfterMs?: number): void {
    const failures = (this.#standing.get(broker)?.failures ?? 0) + 1;
    const cooldown = Math.min(MAX_COOLDOWN_MS, retryAfterMs ?? FIRST_COOLDOWN_MS * 2 ** (failures - 1));
    this.#standing.set(broker, { failures, until: now + jittered(cooldown, 0.2, this.#random) });
  }
}
