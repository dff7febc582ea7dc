import { randomUUID } from "node:crypto";
import type * as z from "zod";

import { orAbort, startDeadline, type Deadline } from "../wire/deadline.ts";
import { MAX_TIMEOUT_MS } from "../wire/limits.ts";
import type { Operation } from "../wire/messages.ts";
import { readAnswer } from "./answer.ts";
import { BrokerClock } from "./broker-clock.ts";
import type { Clock } from "./clock.ts";
import { BrokerCallError } from "./errors.ts";
import type { Identity } from "./identity/identity.ts";
import type { Log } from "./log.ts";
import type { ShimMetrics } from "./metrics.ts";
import type { RawAnswer, Transport } from "./transport.ts";
import { isDenial } from "./verdict.ts";

/** Less time than this is not worth a call. */
export const MIN_CALL_MS = 40;
/** What the way there and back takes of a broker's time. */
export const NETWORK_MARGIN_MS = 50;

/** One request to any broker, and what its answer must look like. */
export interface Ask<Schema extends z.ZodType> {
  readonly operation: Operation;
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Empty for GET. */
  readonly body: Uint8Array;
  readonly schema: Schema;
}

export interface BrokerOptions {
  readonly identity: Identity;
  readonly transport: Transport;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ShimMetrics;
}

/** One broker: a call to it, signed by its own clock. */
export class Broker {
  readonly origin: string;
  readonly #options: BrokerOptions;
  readonly #clock = new BrokerClock();

  constructor(origin: string, options: BrokerOptions) {
    this.origin = origin;
    this.#options = options;
  }

  /**
   * Asks once; a second time at once if the answer was that our clock is wrong, and told by how much.
   * @throws BrokerCallError
   */
  async ask<Schema extends z.ZodType>(
    ask: Ask<Schema>,
    timeoutMs: number,
    caller: AbortSignal,
  ): Promise<z.output<Schema>> {
    const until = this.#options.clock.now() + timeoutMs;
    const offset = this.#clock.offsetMs;
    try {
      return await this.#once(ask, timeoutMs, caller);
    } catch (error) {
      const left = until - this.#options.clock.now();
      const corrected = this.#clock.offsetMs !== offset;
      if (!corrected || left < MIN_CALL_MS) throw error;
      return await this.#once(ask, left, caller);
    }
  }

  async #once<Schema extends z.ZodType>(
    ask: Ask<Schema>,
    timeoutMs: number,
    caller: AbortSignal,
  ): Promise<z.output<Schema>> {
    const { clock, metrics } = this.#options;
    const requestId = randomUUID();
    const started = clock.now();
    const limit = startDeadline(timeoutMs, caller);
    let result = "ok";
    try {
      const raw = await this.#send(ask, requestId, timeoutMs, limit.signal);
      return this.#read(raw, ask.schema);
    } catch (error) {
      const failure = this.#failureOf(error, limit, caller, timeoutMs);
      result = failure.code;
      this.#report(failure, ask.operation, requestId, clock.now() - started);
      throw failure;
    } finally {
      limit.clear();
      metrics.brokerCall(this.origin, ask.operation, result, (clock.now() - started) / 1000);
    }
  }

  async #send(
    { method, path, body }: Ask<z.ZodType>,
    requestId: string,
    timeoutMs: number,
    signal: AbortSignal,
  ): Promise<RawAnswer> {
    const { identity, transport, clock } = this.#options;
    const started = clock.now();
    const wall = clock.wall() + this.#clock.offsetMs;
    const token = await orAbort(identity.token({ method, path, body, wall }), signal);
    const left = timeoutMs - (clock.now() - started) - NETWORK_MARGIN_MS;
    const headers = {
      authorization: `Bearer ${token}`,
      accept: "application/json, application/problem+json",
      "x-request-id": requestId,
      "x-timeout-ms": String(Math.min(MAX_TIMEOUT_MS, Math.max(1, Math.floor(left)))),
      ...(method === "POST" ? { "content-type": "application/json" } : {}),
    };
    return transport.exchange({ origin: this.origin, method, path, headers, body, signal });
  }

  #failureOf(error: unknown, limit: Deadline, caller: AbortSignal, timeoutMs: number): BrokerCallError {
    if (error instanceof BrokerCallError && !limit.signal.aborted) return error;
    if (caller.aborted) return new BrokerCallError("Cancelled", "the caller left", { cause: error });
    if (!limit.signal.aborted) return asCallError(error);
    const message = `a broker gave no answer within ${Math.floor(timeoutMs)} ms`;
    return new BrokerCallError("Timeout", message, { cause: error });
  }

  #report(failure: BrokerCallError, operation: Operation, requestId: string, durationMs: number): void {
    const { identity, log } = this.#options;
    if (isDenial(failure.code)) identity.refused();
    if (failure.code === "Cancelled") return;
    log("warn", "broker call failed", {
      broker: this.origin,
      operation,
      code: failure.code,
      detail: failure.message,
      requestId,
      durationMs: Math.round(durationMs),
    });
  }

  /** Heeds the `Date` of a `ClockSkew` alone: any other answer shows that our clock is good enough, or nothing. */
  #read<Schema extends z.ZodType>(raw: RawAnswer, schema: Schema): z.output<Schema> {
    try {
      return readAnswer(raw, schema);
    } catch (error) {
      if (asCallError(error).code === "ClockSkew") this.#readDate(raw);
      throw error;
    }
  }

  #readDate(raw: RawAnswer): void {
    const { clock, log, metrics } = this.#options;
    const reading = this.#clock.read(raw.date, clock.wall());
    if (reading === "unchanged") return;
    const offsetSeconds = Math.round(this.#clock.offsetMs / 1000);
    const event = reading === "corrected" ? "clock corrected" : "clock too far off";
    log("warn", event, { broker: this.origin, offsetSeconds });
    metrics.clockOffset(this.origin, offsetSeconds);
  }
}

/** Any error as a call's; a defect of ours is `Internal`, its cause kept for a debugger and its text untold. */
export function asCallError(error: unknown): BrokerCallError {
  if (error instanceof BrokerCallError) return error;
  return new BrokerCallError("Internal", "the shim failed while it asked a broker", { cause: error });
}
