import type { KekStatus } from "../wire/messages.ts";
import type { BrokerCallError, KmsError } from "./errors.ts";

/** After this many failed polls in a row no broker can be counted on; repeated quickly, they take about 10 s. */
const FAILED_POLLS = 3;

/**
 * Whether an Encrypt and a Decrypt that is not in the cache would work now, told from memory. In direct mode both
 * need a broker. One failed poll is no outage: health that flaps takes the apiserver's with it.
 */
export class Health {
  #last: KekStatus | undefined;
  #failedPolls = 0;
  #pollFailure: BrokerCallError | undefined;
  #wrapFailure: BrokerCallError | KmsError | undefined;

  /** Whether the last real wrap failed, which status alone would never notice: a probe should try again. */
  get wrapFailed(): boolean {
    return this.#wrapFailure !== undefined;
  }

  pollSucceeded(status: KekStatus): void {
    this.#last = status;
    this.#failedPolls = 0;
    this.#pollFailure = undefined;
  }

  pollFailed(error: BrokerCallError): void {
    this.#failedPolls += 1;
    // Silence does not take a revocation back, only a good Status does.
    if (this.#pollFailure?.code !== "Revoked") this.#pollFailure = error;
  }

  wrapSucceeded(): void {
    this.#wrapFailure = undefined;
  }

  /** A wrap that failed by no fault of its caller. */
  wrapRefused(error: BrokerCallError | KmsError): void {
    this.#wrapFailure = error;
  }

  /** `ok`, or what is wrong. @param keyId what Status would show */
  text(keyId: string | undefined): string {
    const poll = this.#pollFailure;
    if (
      poll !== undefined &&
      (this.#last === undefined || poll.code === "Revoked" || this.#failedPolls >= FAILED_POLLS)
    ) {
      return `no broker accepts this shim: ${poll.code}: ${poll.message}`;
    }
    if (this.#last === undefined) return "no broker has answered yet";
    if (keyId === undefined)
      return "the broker knows no key id yet: a member of the KEK has never been reached";
    if (this.#last.state === "UNAVAILABLE")
      return "the KEK is unavailable: the broker reaches too few of its members";
    if (this.#wrapFailure !== undefined) {
      return `encrypting fails: ${this.#wrapFailure.code}: ${this.#wrapFailure.message}`;
    }
    return "ok";
  }
}
