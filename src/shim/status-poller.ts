import { randomBytes, randomUUID } from "node:crypto";

import { orAbort } from "../wire/deadline.ts";
import { MAX_KUBERNETES_CIPHERTEXT_BYTES } from "../wire/limits.ts";
import type { KekStatus } from "../wire/messages.ts";
import { asCallError } from "./broker.ts";
import type { BrokerClient } from "./client.ts";
import { jittered } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { envelopeOf } from "./envelope-answer.ts";
import { KmsError, StartError } from "./errors.ts";
import type { Standing } from "./standing.ts";

/** Longer than a broker remembers what it read (30 s), so that two polls are two readings. */
const INTERVAL_MS = 40_000;
const INTERVAL_SPREAD = 0.1;
/** Long enough to get past a silent broker to the next one. */
const POLL_TIMEOUT_MS = 5_000;
const FIRST_RETRY_MS = 100;
const RETRY_AFTER_SUCCESS_MS = 1_000;
const MAX_RETRY_BEFORE_KEY_ID_MS = 5_000;
const PROBE_BYTES = 32;

export interface StatusPollerOptions {
  readonly client: BrokerClient;
  readonly standing: Standing;
  readonly clock: Clock;
  readonly random: () => number;
}

/**
 * Asks the brokers for the KEK's status: quickly until the first key id, then every 40 s, sooner again after a
 * failure. Where only a wrap can tell more it wraps 32 random bytes, which the broker logs as a probe.
 */
export class StatusPoller {
  readonly #options: StatusPollerOptions;
  #answered = false;
  #failures = 0;
  #pausing: AbortController | undefined;

  constructor(options: StatusPollerOptions) {
    this.#options = options;
  }

  /**
   * Runs until the signal aborts.
   * @throws StartError `DirectModeUnfit` when the first answer says that envelopes are too large for kube-apiserver
   */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#poll(signal);
      await this.#rest(signal);
    }
  }

  /** Ends the present pause, if there is one. */
  wake(): void {
    this.#pausing?.abort();
  }

  async #rest(signal: AbortSignal): Promise<void> {
    const pausing = new AbortController();
    this.#pausing = pausing;
    try {
      await orAbort(this.#options.clock.sleep(this.#pause(), pausing.signal), signal);
    } catch {
      // Woken, or stopped.
    } finally {
      pausing.abort();
      this.#pausing = undefined;
    }
  }

  async #poll(signal: AbortSignal): Promise<void> {
    const { client, standing, clock } = this.#options;
    const { revocations } = standing;
    try {
      const status = await client.status({ deadline: clock.now() + POLL_TIMEOUT_MS, signal });
      if (!this.#answered) refuseLargeEnvelopes(status);
      this.#answered = true;
      standing.pollSucceeded(status, revocations);
      this.#failures = this.#hasKeyId ? 0 : this.#failures + 1;
    } catch (error) {
      if (error instanceof StartError) throw error;
      if (signal.aborted) return;
      this.#failures += 1;
      standing.pollFailed(asCallError(error));
      return;
    }
    if (standing.wantsProbe) await this.#probe(signal);
  }

  async #probe(signal: AbortSignal): Promise<void> {
    const { client, standing, clock } = this.#options;
    const limits = { deadline: clock.now() + POLL_TIMEOUT_MS, signal };
    try {
      const answer = await client.wrap(randomBytes(PROBE_BYTES), `probe-${randomUUID()}`, limits);
      envelopeOf(answer);
      standing.probed(answer.keyId);
    } catch (error) {
      if (!signal.aborted) standing.probeFailed(error instanceof KmsError ? error : asCallError(error));
    }
  }

  /** No apiserver can start before: a broker that has just started itself may have one at the next reading. */
  get #hasKeyId(): boolean {
    return this.#options.standing.now.keyId !== undefined;
  }

  #pause(): number {
    const { random, standing } = this.#options;
    const failures = standing.revoked ? Math.max(1, this.#failures) : this.#failures;
    if (failures === 0) return jittered(INTERVAL_MS, INTERVAL_SPREAD, random);
    const first = this.#hasKeyId ? RETRY_AFTER_SUCCESS_MS : FIRST_RETRY_MS;
    const longest = this.#hasKeyId ? INTERVAL_MS : MAX_RETRY_BEFORE_KEY_ID_MS;
    return jittered(Math.min(longest, first * 2 ** (failures - 1)), 0.2, random);
  }
}

function refuseLargeEnvelopes({ name, maxCiphertext }: KekStatus): void {
  if (maxCiphertext <= MAX_KUBERNETES_CIPHERTEXT_BYTES) return;
  throw new StartError(
    "DirectModeUnfit",
    `mode direct cannot use the KEK ${name}: its envelopes take up to ${maxCiphertext} bytes, and kube-apiserver ` +
      `stores at most ${MAX_KUBERNETES_CIPHERTEXT_BYTES}. Give the KEK fewer members, or smaller RSA keys.`,
  );
}
