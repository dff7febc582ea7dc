import type { Metrics } from "./metrics.ts";

/** Above this a cluster's count stands still: an alarm belongs far below it. */
const MAX_COUNT = 10_000;
const HOUR_MS = 3_600_000;
/** 64 bits of a hash: among so few, two envelopes are taken for one less than once in 10^11 hours. */
const HASH_CHARACTERS = 16;

/**
 * How many different envelopes each cluster had opened within the current hour, as seen by this instance: someone who
 * unwraps everything stands out. Exact up to a bound; begins anew with the first unwrap, by whomever, after a full hour.
 */
export interface DistinctEnvelopes {
  /** @param hash Hex SHA-256 of the envelope. */
  add(cluster: string, hash: string): void;
}

/** @param now Milliseconds since the epoch. */
export function createDistinctEnvelopes(now: () => number, metrics: Metrics): DistinctEnvelopes {
  let hour = Number.NaN;
  const seen = new Map<string, Set<string>>();

  const startHour = (): void => {
    const current = Math.floor(now() / HOUR_MS);
    if (current === hour) return;
    hour = current;
    for (const cluster of seen.keys()) metrics.set("kek_broker_distinct_envelopes", 0, { cluster });
    seen.clear();
  };

  return {
    add(cluster, hash) {
      startHour();
      const hashes = seen.get(cluster) ?? new Set<string>();
      seen.set(cluster, hashes);
      if (hashes.size < MAX_COUNT) hashes.add(hash.slice(0, HASH_CHARACTERS));
      metrics.set("kek_broker_distinct_envelopes", hashes.size, { cluster });
    },
  };
}
