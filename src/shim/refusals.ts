import { LRUCache } from "lru-cache";

import type { BrokerCallError } from "./errors.ts";

/** For so long a ciphertext that cannot be opened is not asked about again. */
const LASTS_MS = 5_000;
const MAX_ENTRIES = 1_024;

/**
 * Ciphertexts that brokers refused for what they are. kube-apiserver asks for one that it cannot open ten times a
 * second, for as long as it is stored.
 */
export class Refusals {
  readonly #entries = new LRUCache<string, { readonly failure: BrokerCallError; readonly until: number }>({
    max: MAX_ENTRIES,
  });

  /** @param now monotonic milliseconds */
  get(key: string, now: number): BrokerCallError | undefined {
    const entry = this.#entries.get(key);
    return entry !== undefined && now < entry.until ? entry.failure : undefined;
  }

  /** Takes note of a failure if it is one of the ciphertext; another may pass at any moment. */
  note(key: string, failure: BrokerCallError, now: number): void {
    if (failure.code !== "InvalidCiphertext" && failure.code !== "SealedByAnotherCluster") return;
    this.#entries.set(key, { failure, until: now + LASTS_MS });
  }
}
