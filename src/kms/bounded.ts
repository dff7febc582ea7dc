import { startDeadline } from "../wire/deadline.ts";
import { Breaker, type Outcome, type Pass } from "./breaker.ts";
import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "./key-provider.ts";
import { Limiter } from "./limiter.ts";
import { timedOut, untilAborted } from "./until-aborted.ts";

export interface BoundedOptions {
  /**
   * The most time for one call with its retry, from when there is room for it, and before that the most it waits for
   * room; the caller's signal may end both sooner.
   */
  readonly deadlineMs?: number;
  /** Calls under way at once, and calls waiting for that. */
  readonly concurrency?: number;
  readonly queueLength?: number;
  /** Calls in a row that timed out or found the cloud broken, before the member is left alone. */
  readonly breakerFailures?: number;
  readonly breakerCooldownMs?: number;
  /** Milliseconds of a monotonic clock. */
  readonly now?: () => number;
  /** From 0 up to 1: spreads retries. */
  readonly random?: () => number;
}

const DEFAULTS = {
  deadlineMs: 700,
  concurrency: 64,
  queueLength: 256,
  breakerFailures: 5,
  breakerCooldownMs: 5_000,
  now: () => performance.now(),
  random: () => Math.random(),
} satisfies Required<BoundedOptions>;

const RETRY_AFTER_MS = { least: 10, most: 60 };

/**
 * The same provider, made safe to depend on: a deadline, bounded concurrency, one retry of `Unavailable`, and a
 * circuit breaker that `Timeout` and `Unavailable` open. A call that its caller gave up, or that waited for room in
 * vain, proves nothing about the cloud and does not count. State is per instance: make one for each member and keep it.
 */
export function bounded(provider: KeyProvider, options: BoundedOptions = {}): KeyProvider {
  return new BoundedProvider(provider, { ...DEFAULTS, ...options });
}

class BoundedProvider implements KeyProvider {
  readonly symmetric: boolean;
  readonly maxWrapBytes: number;
  readonly needsVersionToUnwrap: boolean;
  readonly #provider: KeyProvider;
  readonly #options: Required<BoundedOptions>;
  readonly #breaker: Breaker;
  readonly #limiter: Limiter;

  constructor(provider: KeyProvider, options: Required<BoundedOptions>) {
    this.symmetric = provider.symmetric;
    this.maxWrapBytes = provider.maxWrapBytes;
    this.needsVersionToUnwrap = provider.needsVersionToUnwrap;
    this.#provider = provider;
    this.#options = options;
    const { breakerFailures: failures, breakerCooldownMs: cooldownMs, now } = options;
    this.#breaker = new Breaker({ failures, cooldownMs, now });
    this.#limiter = new Limiter(options.concurrency, options.queueLength);
  }

  wrap(plaintext: Uint8Array<ArrayBuffer>, context: WrapContext, call: ProviderCall): Promise<WrapResult> {
    return this.#run(call, (inner) => this.#provider.wrap(plaintext, context, inner));
  }

  unwrap(
    wrap: Uint8Array<ArrayBuffer>,
    context: WrapContext,
    call: ProviderCall,
    openVersion?: Uint8Array<ArrayBuffer>,
  ): Promise<UnwrapResult> {
    const unwrap = (inner: ProviderCall) => this.#provider.unwrap(wrap, context, inner, openVersion);
    return this.#run(call, unwrap, ({ plaintext }) => void plaintext.fill(0));
  }

  currentVersion(call: ProviderCall): Promise<string> {
    return this.#run(call, (inner) => this.#provider.currentVersion(inner));
  }

  async #run<T>(
    call: ProviderCall,
    act: (call: ProviderCall) => Promise<T>,
    late?: (result: T) => void,
  ): Promise<T> {
    if (call.signal.aborted) throw timedOut();
    const pass = this.#breaker.enter();
    if (pass === undefined) throw leftAlone();
    const deadline = startDeadline(this.#options.deadlineMs, call.signal);
    const inner = { ...call, signal: deadline.signal };
    const attempt = pass === "probe" ? act : (again: ProviderCall) => this.#withRetry(again, act);
    let admitted = false;
    try {
      return await this.#limiter.run(deadline.signal, () => {
        if (pass === "call" && this.#breaker.isOpen) throw leftAlone();
        admitted = true;
        // Time in the queue is this broker's own: a cloud is judged only by a deadline that it had to itself.
        deadline.restart();
        return this.#judge(pass, call.signal, untilAborted(deadline.signal, attempt(inner), late));
      });
    } finally {
      deadline.clear();
      if (!admitted) this.#breaker.leave(pass, "unknown");
    }
  }

  /** Before the call's place is handed on, so that who gets it knows. */
  async #judge<T>(pass: Pass, caller: AbortSignal, result: Promise<T>): Promise<T> {
    let outcome: Outcome = "answered";
    try {
      return await result;
    } catch (error) {
      outcome = caller.aborted ? "unknown" : outcomeOf(error);
      throw error;
    } finally {
      this.#breaker.leave(pass, outcome);
    }
  }

  async #withRetry<T>(call: ProviderCall, act: (call: ProviderCall) => Promise<T>): Promise<T> {
    try {
      return await act(call);
    } catch (error) {
      if (!(error instanceof ProviderError) || error.code !== "Unavailable" || call.signal.aborted)
        throw error;
      call.onRetry?.(error);
      const { least, most } = RETRY_AFTER_MS;
      await pause(least + this.#options.random() * (most - least), call.signal);
      return act(call);
    }
  }
}

function outcomeOf(error: unknown): Outcome {
  if (!(error instanceof ProviderError)) return "unknown";
  switch (error.code) {
    case "Timeout":
    case "Unavailable":
      return "failed";
    case "Throttled":
      // Ours or the cloud's: neither says that it is broken, nor that it is well.
      return "unknown";
    case "InvalidCiphertext":
    case "KeyUnavailable":
    case "AccessDenied":
    case "Refused":
      return "answered";
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const giveUp = () => {
      clearTimeout(timer);
      reject(timedOut());
    };
    const timer = setTimeout(() => {
      signal.removeEventListener("abort", giveUp);
      resolve();
    }, ms);
    signal.addEventListener("abort", giveUp, { once: true });
  });
}

function leftAlone(): ProviderError {
  return new ProviderError("Unavailable", "this member failed lately and is left alone");
}
