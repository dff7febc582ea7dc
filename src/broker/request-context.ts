import type { Deadline } from "../wire/deadline.ts";
import { hex } from "../wire/hex.ts";
import { MAX_TIMEOUT_MS } from "../wire/limits.ts";
import { BrokerProblem } from "./problem.ts";
import type { BrokerState } from "./state.ts";

/** What is known of a request from its head. */
export interface RequestContext {
  readonly requestId: string;
  /** W3C trace context, passed on as it came. */
  readonly traceparent: string | undefined;
  /** The configuration of when it arrived, for its whole life. */
  readonly state: BrokerState;
  /** By when the caller must have its answer. */
  readonly deadline: Deadline;
  /** Keeps work alive after the answer where a runtime would else drop it. */
  readonly after: (work: Promise<unknown>) => void;
}

const REQUEST_ID = /^[A-Za-z0-9._~:/+=-]{1,128}$/;
const TRACEPARENT = /^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$/;
const TIMEOUT = /^[1-9][0-9]{0,8}$/;
/** The largest number that `X-Timeout-Ms` may hold; the cap is far below. */
export const LARGEST_TIMEOUT_MS = 999_999_999;

/** The caller's id if it is fit for a log, else a fresh one of 128 bits. */
export function requestIdOf(
  header: string | undefined,
  random: (bytes: number) => Uint8Array<ArrayBuffer>,
): string {
  return header !== undefined && REQUEST_ID.test(header) ? header : hex(random(16));
}

/** A valid `traceparent`; anything else is ignored, as W3C Trace Context wants. */
export function traceparentOf(header: string | undefined): string | undefined {
  return header !== undefined && TRACEPARENT.test(header) ? header : undefined;
}

/**
 * Milliseconds from `X-Timeout-Ms`, at most what a caller can ask for.
 * @throws BrokerProblem `Validation`.
 */
export function timeoutOf(header: string | undefined): number {
  if (header === undefined) return MAX_TIMEOUT_MS;
  if (!TIMEOUT.test(header)) {
    throw new BrokerProblem(
      "Validation",
      "X-Timeout-Ms must be a whole number of milliseconds from 1: the time you have left for this request.",
    );
  }
  return Math.min(Number(header), MAX_TIMEOUT_MS);
}
