import { decodeBase64 } from "../wire/base64.ts";
import {
  MAX_CIPHERTEXT_BYTES,
  MAX_PLAINTEXT_BYTES,
  MAX_UID_LENGTH,
  MIN_PLAINTEXT_BYTES,
} from "../wire/limits.ts";
import { asCallError } from "./broker.ts";
import { cacheKey, copyOf } from "./cache.ts";
import type { DekCache } from "./cache.ts";
import type { BrokerClient } from "./client.ts";
import type { Clock } from "./clock.ts";
import { envelopeOf } from "./envelope-answer.ts";
import { BrokerCallError, KmsError } from "./errors.ts";
import type {
  Caller,
  DecryptAnswer,
  DecryptRequest,
  EncryptAnswer,
  EncryptRequest,
  KmsService,
  StatusAnswer,
} from "./kms-service.ts";
import type { ShimMetrics } from "./metrics.ts";
import { Refusals } from "./refusals.ts";
import { SingleFlight } from "./single-flight.ts";
import type { Standing } from "./standing.ts";

/** For a caller without a deadline; kube-apiserver always has one, 3 s unless configured. */
const MAX_WAIT_MS = 10_000;
/** An unwrap in flight goes on at least so long, whoever started it: others may have joined, and they have this long. */
const MIN_FLIGHT_MS = 3_000;

export interface DirectModeOptions {
  readonly client: BrokerClient;
  readonly cache: DekCache;
  readonly standing: Standing;
  readonly clock: Clock;
  readonly statusVersion: string;
  readonly metrics: ShimMetrics;
  /** Aborts when the shim stops. */
  readonly stopping: AbortSignal;
}

/** Mode `direct`: each seed is wrapped by a broker, and the ciphertext is its envelope. Unwrapped seeds are cached. */
export class DirectMode implements KmsService {
  readonly #options: DirectModeOptions;
  readonly #unwraps = new SingleFlight<Uint8Array>();
  readonly #refusals = new Refusals();

  constructor(options: DirectModeOptions) {
    this.#options = options;
  }

  status(): StatusAnswer {
    const { healthz, keyId } = this.#options.standing.now;
    return { version: this.#options.statusVersion, healthz, keyId: keyId ?? "" };
  }

  async encrypt({ plaintext, uid }: EncryptRequest, caller: Caller): Promise<EncryptAnswer> {
    requireLength("plaintext", plaintext, MIN_PLAINTEXT_BYTES, MAX_PLAINTEXT_BYTES);
    const { client, clock, standing } = this.#options;
    // As Status showed it when the apiserver decided to ask: a change meanwhile would not be what it expects.
    const { keyId } = standing.now;
    if (keyId === undefined) throw new KmsError("NotReady", standing.now.healthz);
    const limits = {
      deadline: clock.now() + Math.min(caller.remainingMs, MAX_WAIT_MS),
      signal: caller.signal,
    };
    const { revocations } = standing;
    try {
      const answer = await client.wrap(plaintext, usableUid(uid), limits);
      const ciphertext = envelopeOf(answer);
      this.#keep(cacheKey(ciphertext), plaintext, revocations);
      standing.wrapped(answer.keyId);
      return { ciphertext, keyId };
    } catch (error) {
      if (error instanceof BrokerCallError || error instanceof KmsError) standing.wrapFailed(error);
      throw error;
    }
  }

  async decrypt({ ciphertext, uid }: DecryptRequest, caller: Caller): Promise<DecryptAnswer> {
    requireLength("ciphertext", ciphertext, 1, MAX_CIPHERTEXT_BYTES);
    const { cache, metrics, standing, clock } = this.#options;
    const key = cacheKey(ciphertext);
    const cached = standing.revoked ? undefined : cache.get(key);
    if (cached !== undefined) {
      metrics.decrypt("hit");
      return { plaintext: cached };
    }
    const refused = this.#refusals.get(key, clock.now());
    if (refused !== undefined) {
      metrics.decrypt("refused");
      throw refused;
    }
    let result: "miss" | "joined" = "joined";
    // Who asks after a revocation joins nothing that began before it.
    const flight = this.#unwraps.run(`${standing.revocations} ${key}`, () => {
      result = "miss";
      return this.#unwrap(key, ciphertext, uid, Math.max(MIN_FLIGHT_MS, caller.remainingMs));
    });
    metrics.decrypt(result);
    return { plaintext: copyOf(await flight) };
  }

  /** Belongs to no caller: one that leaves early finds the key in the cache when it asks again. */
  async #unwrap(key: string, ciphertext: Uint8Array, uid: string, waitMs: number): Promise<Uint8Array> {
    const { client, clock, standing, stopping } = this.#options;
    const { revocations } = standing;
    const limits = { deadline: clock.now() + Math.min(waitMs, MAX_WAIT_MS), signal: stopping };
    try {
      const answer = await client.unwrap(ciphertext, usableUid(uid), limits);
      const dek = plaintextOf(answer.plaintext);
      // Everyone who waits has taken a copy before the event loop turns.
      setImmediate(() => dek.fill(0));
      this.#keep(key, dek, revocations);
      return dek;
    } catch (error) {
      const failure = asCallError(error);
      standing.unwrapFailed(failure);
      this.#refusals.note(key, failure, clock.now());
      throw failure;
    }
  }

  /**
   * Keeps nothing that was asked for before the latest revocation, nor while it lasts.
   * @throws BrokerCallError `BadAnswer`
   */
  #keep(key: string, dek: Uint8Array, revocations: number): void {
    const { cache, standing } = this.#options;
    if (standing.revoked || standing.revocations !== revocations) return;
    if (cache.set(key, dek)) return;
    throw new BrokerCallError("BadAnswer", "the broker's ciphertext is one that holds another key");
  }
}

function requireLength(field: string, bytes: Uint8Array, min: number, max: number): void {
  if (bytes.length >= min && bytes.length <= max) return;
  throw new KmsError("BadRequest", `${field} is ${bytes.length} bytes: it must be ${min} to ${max}`);
}

function plaintextOf(text: string): Uint8Array {
  const plaintext = decodeBase64(text);
  if (
    plaintext !== undefined &&
    plaintext.length >= MIN_PLAINTEXT_BYTES &&
    plaintext.length <= MAX_PLAINTEXT_BYTES
  ) {
    return plaintext;
  }
  throw new BrokerCallError("BadAnswer", "the broker's plaintext is not a key in base64");
}

/** A uid only names the request in logs: one that the broker would refuse must not stop the request. */
function usableUid(uid: string): string | undefined {
  return uid.length <= MAX_UID_LENGTH && /^[\x21-\x7e]+$/.test(uid) ? uid : undefined;
}
