import type * as z from "zod";

import { encodeBase64 } from "../wire/base64.ts";
import { MAX_TIMEOUT_MS } from "../wire/limits.ts";
import { KekStatus, UnwrapResponse, WrapResponse } from "../wire/messages.ts";
import { asCallError, Broker, MIN_CALL_MS, NETWORK_MARGIN_MS } from "./broker.ts";
import type { Ask, BrokerOptions } from "./broker.ts";
import { BrokerList } from "./broker-list.ts";
import { jittered } from "./clock.ts";
import { BrokerCallError } from "./errors.ts";
import { RetryBudget } from "./retry-budget.ts";
import { isBrokersOwn, verdictOf, worseOf } from "./verdict.ts";

/** Kept back so that our answer reaches the caller before its deadline. */
const ANSWER_MARGIN_MS = 50;
/** A broker that is not the last one gets at least this, or two thirds of all there is, however many wait behind it. */
const MIN_SHARE_MS = 1_000;
const FIRST_BACKOFF_MS = 60;
const MAX_BACKOFF_MS = 1_000;

/** How long a call may take, and when nobody waits for it any more. */
export interface CallLimits {
  /** By the clock's `now`. */
  readonly deadline: number;
  readonly signal: AbortSignal;
}

export interface BrokerClientOptions extends BrokerOptions {
  readonly kek: string;
  /** Origins, in order of preference. */
  readonly brokers: readonly string[];
  readonly random: () => number;
}

interface Candidate {
  readonly broker: Broker;
  readonly retryAfterMs: number;
}

/**
 * The brokers as one: asked in order within the caller's deadline, and again only as far as the retry budget goes.
 * Every method throws BrokerCallError.
 */
export class BrokerClient {
  readonly #options: BrokerClientOptions;
  readonly #brokers: BrokerList<Broker>;
  readonly #budget = new RetryBudget();
  readonly #path: string;
  readonly #answers: { readonly wrap: typeof WrapResponse; readonly status: typeof KekStatus };

  constructor(options: BrokerClientOptions) {
    this.#options = options;
    const brokers = options.brokers.map((origin) => new Broker(origin, options));
    this.#brokers = new BrokerList(brokers, options.random);
    this.#path = `/v1/keks/${options.kek}`;
    const isOurs = ({ keyId }: { keyId: string | null }) =>
      keyId === null || keyId.startsWith(`${options.kek}.`);
    this.#answers = {
      wrap: WrapResponse.refine(isOurs, "is a key id of another KEK"),
      status: KekStatus.refine(isOurs, "is a key id of another KEK"),
    };
  }

  wrap(plaintext: Uint8Array, uid: string | undefined, limits: CallLimits): Promise<WrapResponse> {
    return this.#post("wrap", { plaintext: encodeBase64(plaintext), uid }, this.#answers.wrap, limits);
  }

  unwrap(ciphertext: Uint8Array, uid: string | undefined, limits: CallLimits): Promise<UnwrapResponse> {
    return this.#post("unwrap", { ciphertext: encodeBase64(ciphertext), uid }, UnwrapResponse, limits);
  }

  status(limits: CallLimits): Promise<KekStatus> {
    const body = new Uint8Array();
    return this.#ask(
      { operation: "status", method: "GET", path: this.#path, body, schema: this.#answers.status },
      limits,
    );
  }

  async #post<Schema extends z.ZodType>(
    operation: "wrap" | "unwrap",
    content: object,
    schema: Schema,
    limits: CallLimits,
  ): Promise<z.output<Schema>> {
    const body = Buffer.from(JSON.stringify(content));
    const path = `${this.#path}/${operation}`;
    try {
      return await this.#ask({ operation, method: "POST", path, body, schema }, limits);
    } finally {
      body.fill(0);
    }
  }

  async #ask<Schema extends z.ZodType>(ask: Ask<Schema>, limits: CallLimits): Promise<z.output<Schema>> {
    const { clock, random } = this.#options;
    this.#budget.deposit();
    let brokers = this.#brokers.order(clock.now());
    let worst: BrokerCallError | undefined;
    for (let pass = 0; ; pass++) {
      const again: Candidate[] = [];
      for (const [index, broker] of brokers.entries()) {
        const timeoutMs = shareOf(limits.deadline - clock.now(), brokers.length - index);
        if (timeoutMs < MIN_CALL_MS)
          throw worst ?? new BrokerCallError("Timeout", "no time was left for a call");
        if (pass > 0) this.#payForRetry(worst);
        try {
          const answer = await broker.ask(ask, timeoutMs, limits.signal);
          this.#brokers.succeeded(broker);
          return answer;
        } catch (error) {
          const failure = this.#judge(broker, error);
          worst = worseOf(worst, failure);
          if (verdictOf(failure.code) === "retry")
            again.push({ broker, retryAfterMs: failure.retryAfterMs ?? 0 });
        }
      }
      const pause = pauseBefore(again, pass, random);
      const comesTooLate = clock.now() + pause + MIN_CALL_MS + ANSWER_MARGIN_MS > limits.deadline;
      if (worst !== undefined && (again.length === 0 || comesTooLate)) throw worst;
      await pauseOrLeave(clock.sleep(pause, limits.signal));
      brokers = again.filter(({ retryAfterMs }) => retryAfterMs <= pause).map(({ broker }) => broker);
    }
  }

  /** Takes note of a failure; throws it if nobody else need be asked. */
  #judge(broker: Broker, error: unknown): BrokerCallError {
    const failure = asCallError(error);
    if (isBrokersOwn(failure.code)) {
      this.#brokers.failed(broker, this.#options.clock.now(), failure.retryAfterMs);
    }
    if (verdictOf(failure.code) === "final") throw failure;
    return failure;
  }

  #payForRetry(worst: BrokerCallError | undefined): void {
    const { metrics } = this.#options;
    if (this.#budget.withdraw()) {
      metrics.retried();
      return;
    }
    metrics.retryBudgetExhausted();
    throw worst ?? new BrokerCallError("Unreachable", "no retry was left");
  }
}

/** The time one of several brokers gets, so that a silent one leaves some for the rest. */
function shareOf(remainingMs: number, brokers: number): number {
  const usable = remainingMs - ANSWER_MARGIN_MS;
  const share = brokers === 1 ? usable : Math.max(usable / brokers, Math.min(MIN_SHARE_MS, (usable * 2) / 3));
  return Math.min(share, usable, MAX_TIMEOUT_MS + NETWORK_MARGIN_MS);
}

/** Longer with each pass, and as long as the least patient broker asked for. */
function pauseBefore(again: readonly Candidate[], pass: number, random: () => number): number {
  const backoff = jittered(Math.min(MAX_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** pass), 0.5, random);
  return again.length === 0
    ? 0
    : Math.max(backoff, Math.min(...again.map(({ retryAfterMs }) => retryAfterMs)));
}

async function pauseOrLeave(pause: Promise<void>): Promise<void> {
  try {
    await pause;
  } catch (error) {
    throw new BrokerCallError("Cancelled", "the caller left", { cause: error });
  }
}
