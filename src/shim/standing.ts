import type { KekStatus } from "../wire/messages.ts";
import type { Clock } from "./clock.ts";
import { BrokerCallError } from "./errors.ts";
import type { BrokerCallCode, KmsError, KmsErrorCode } from "./errors.ts";
import type { Health } from "./health.ts";
import type { KeyIdEvent, KeyIdTracker } from "./key-id.ts";
import type { Log } from "./log.ts";
import type { ShimMetrics } from "./metrics.ts";
import { isDenial } from "./verdict.ts";

export interface StandingOptions {
  readonly tracker: KeyIdTracker;
  readonly health: Health;
  readonly clock: Clock;
  readonly log: Log;
  readonly metrics: ShimMetrics;
  /** A broker said `Revoked`, the first time since Status was last good: nothing unwrapped may be used any more. */
  readonly onRevoked: () => void;
  /** Status answers `ok` from now on. */
  readonly onHealthy: () => void;
}

/** What Status answers. */
export interface StandingNow {
  /** `ok`, or what is wrong. */
  readonly healthz: string;
  readonly keyId: string | undefined;
}

/**
 * What the shim knows of its KEK from all it hears of the brokers: one place where polls, probes and real calls meet
 * the pure parts (KeyIdTracker, Health), and where their changes become log lines and metrics.
 */
export class Standing {
  readonly #options: StandingOptions;
  #revoked = false;
  #revocations = 0;
  #now: StandingNow = { healthz: "no broker has answered yet", keyId: undefined };

  constructor(options: StandingOptions) {
    this.#options = options;
  }

  get now(): StandingNow {
    return this.#now;
  }

  get wantsProbe(): boolean {
    return this.#options.tracker.wantsWrap || this.#options.health.wrapFailed;
  }

  /** A broker said `Revoked`, and none has answered a later Status. */
  get revoked(): boolean {
    return this.#revoked;
  }

  /** Grows with each `Revoked`. What was asked for before one tells nothing about the time after it. */
  get revocations(): number {
    return this.#revocations;
  }

  /** @param asOf the `revocations` when the poll began */
  pollSucceeded(status: KekStatus, asOf = this.#revocations): void {
    if (asOf !== this.#revocations) return;
    const { tracker, health, clock, metrics } = this.#options;
    metrics.statusAnswered(clock.wall());
    health.pollSucceeded(status);
    this.#revoked = false;
    this.#tell(tracker.observeStatus(status.keyId, clock.now()));
    this.#update();
  }

  pollFailed(error: BrokerCallError): void {
    this.#options.log("warn", "status failed", { code: error.code, detail: error.message });
    this.#options.health.pollFailed(error);
    this.#heedRevocation(error);
    this.#update();
  }

  probed(keyId: string | null): void {
    this.#options.log("info", "key id probe", keyId === null ? {} : { keyId });
    this.wrapped(keyId);
  }

  probeFailed(error: BrokerCallError | KmsError): void {
    this.#options.log("warn", "key id probe", { code: error.code, detail: error.message });
    this.wrapFailed(error);
  }

  /** A wrap came back, with this id. */
  wrapped(keyId: string | null): void {
    this.#options.health.wrapSucceeded();
    this.#tell(this.#options.tracker.observeWrap(keyId));
    this.#update();
  }

  wrapFailed(error: BrokerCallError | KmsError): void {
    if (error instanceof BrokerCallError) this.#heedRevocation(error);
    if (error.code === "EnvelopeTooLarge") {
      this.#options.metrics.envelopeTooLarge();
      this.#options.log("error", "envelope too large", { detail: error.message });
    }
    if (tellsOfTheNext(error.code)) this.#options.health.wrapRefused(error);
    this.#update();
  }

  unwrapFailed(error: BrokerCallError): void {
    this.#heedRevocation(error);
    this.#update();
  }

  #heedRevocation(error: BrokerCallError): void {
    if (error.code !== "Revoked") return;
    this.#revocations += 1;
    this.#options.health.pollFailed(error);
    if (this.#revoked) return;
    this.#revoked = true;
    this.#options.log("error", "revoked", { detail: error.message });
    this.#options.onRevoked();
  }

  #tell(event: KeyIdEvent): void {
    const { log, metrics } = this.#options;
    switch (event.kind) {
      case "none":
        return;
      case "first":
        log("info", "key id first seen", { keyId: event.keyId });
        return;
      case "changed":
        metrics.keyIdChanged();
        log("info", "key id changed", { keyId: event.keyId, previousKeyId: event.from });
        return;
      case "refused":
        metrics.keyIdRefused();
        log("warn", "key id refused", {
          keyId: event.keyId,
          detail: "left before, or of a lower epoch: to go back, raise the KEK's epoch",
        });
    }
  }

  #update(): void {
    const { tracker, health, log, metrics } = this.#options;
    const before = this.#now.healthz;
    const keyId = tracker.current;
    const healthz = health.text(keyId);
    this.#now = { healthz, keyId };
    metrics.healthy(healthz === "ok");
    if (healthz === before) return;
    if (healthz === "ok") {
      log("info", "healthy");
      this.#options.onHealthy();
    } else log("warn", "unhealthy", { detail: healthz });
  }
}

/** Whether the next wrap would fail the same way. Out of reach or out of time is for the polls to find. */
function tellsOfTheNext(code: BrokerCallCode | KmsErrorCode): boolean {
  if (code === "BadRequest" || code === "NotReady") return false;
  if (code === "EnvelopeTooLarge" || code === "KeyUnavailable" || code === "AuditUnavailable") return true;
  return isDenial(code);
}
