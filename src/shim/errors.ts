import type { ProblemCode } from "../wire/problem.ts";

/**
 * Why a broker gave no answer that can be used: what it said itself, or
 * - `Unreachable`: no connection, or it broke off;
 * - `Timeout`: nothing in the time the caller had;
 * - `BadAnswer`: not an answer of this API (a proxy's page, a redirect, too long, cut off);
 * - `Cancelled`: the caller left;
 * - `NoIdentity`: there was no token to ask with.
 */
export type BrokerCallCode =
  | ProblemCode
  | "Unreachable"
  | "Timeout"
  | "BadAnswer"
  | "Cancelled"
  | "NoIdentity";

export interface BrokerCallErrorOptions {
  readonly cause?: unknown;
  readonly retryAfterMs?: number;
}

/**
 * A call to the brokers that failed. Its message is safe to log and to answer with: no token, no key, no
 * broker's address, since an apiserver repeats it to its users.
 */
export class BrokerCallError extends Error {
  override readonly name = "BrokerCallError";
  readonly code: BrokerCallCode;
  /** How long this broker asked not to be asked again. */
  readonly retryAfterMs: number | undefined;

  constructor(code: BrokerCallCode, message: string, options: BrokerCallErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.retryAfterMs = options.retryAfterMs;
  }
}

/**
 * What the shim itself refuses on the socket.
 * - `BadRequest`: the message is malformed, or a field is empty or too long;
 * - `NotReady`: no key id is known yet, so nothing can be encrypted under it;
 * - `EnvelopeTooLarge`: kube-apiserver would refuse to store the broker's answer.
 */
export type KmsErrorCode = "BadRequest" | "NotReady" | "EnvelopeTooLarge";

/** For who calls the socket. */
export class KmsError extends Error {
  override readonly name = "KmsError";
  readonly code: KmsErrorCode;

  constructor(code: KmsErrorCode, message: string) {
    super(message);
    this.code = code;
  }
}

export type StartErrorCode =
  | "ConfigInvalid"
  | "IdentityUnusable"
  | "CaUnusable"
  | "SocketInUse"
  | "SocketUnusable"
  | "HttpUnusable"
  | "DirectModeUnfit";

/** For who runs the shim: why it does not start, and what to do. */
export class StartError extends Error {
  override readonly name = "StartError";
  readonly code: StartErrorCode;

  constructor(code: StartErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
  }
}

/** The system's code of a failed call, `ENOENT` and its like; never its message, which can quote paths and more. */
export function systemCodeOf(error: unknown): string {
  if (typeof error === "object" && error !== null && "code" in error && typeof error.code === "string") {
    return error.code;
  }
  return "unknown error";
}
