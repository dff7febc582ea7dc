import { setTimeout } from "node:timers/promises";

import type { ContractFault } from "./provider-contract.ts";

/** How late a slow answer is. */
export const SLOW_MS = 150;

/** A fault that is an answer of its own. */
export type FailureFault = Exclude<ContractFault, "slow">;

/** The faults that a server's next requests meet. */
export class Faults<Answer> {
  readonly #next: ContractFault[] = [];
  readonly #failure: (fault: FailureFault) => Answer | Promise<Answer>;

  /** @param failure how this server says it, or the silence and the cut of it. */
  constructor(failure: (fault: FailureFault) => Answer | Promise<Answer>) {
    this.#failure = failure;
  }

  /** The next requests, in this order, meet these; those after them go well. */
  inject(...faults: readonly ContractFault[]): void {
    this.#next.push(...faults);
  }

  /** Does what is asked, unless the fault comes before it. */
  async meet(act: () => Answer | Promise<Answer>): Promise<Answer> {
    const fault = this.#next.shift();
    if (fault !== undefined && fault !== "slow" && fault !== "brokenAfter") return this.#failure(fault);
    const answer = await act();
    if (fault === "slow") await setTimeout(SLOW_MS);
    return fault === "brokenAfter" ? this.#failure(fault) : answer;
  }
}
