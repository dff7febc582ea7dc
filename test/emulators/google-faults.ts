import { setTimeout } from "node:timers/promises";

import { SLOW_MS } from "./faults.ts";
import { GoogleStatus } from "./google-status.ts";
import { denied } from "./google-kms-state.ts";
import type { ContractFault } from "./provider-contract.ts";

/** What goes wrong until told otherwise; `down` cuts every connection, `silent` takes requests and never answers. */
export type LastingFault =
  | "down"
  | "silent"
  | "throttled"
  | "denied"
  | "broken"
  | { readonly slowMs: number };

/** Faults that requests meet, whatever carries them. */
export class GoogleFaults {
  readonly #next: ContractFault[] = [];
  #lasting: LastingFault | undefined;

  /** The next requests, in this order, meet these. */
  inject(...faults: readonly ContractFault[]): void {
    this.#next.push(...faults);
  }

  /** Every request from now on meets it; `undefined` ends that. What `inject` asked for comes first. */
  last(fault: LastingFault | undefined): void {
    this.#lasting = fault;
  }

  /** Throws a GoogleStatus where that is the answer. */
  async meet<T>(act: () => T | Promise<T>): Promise<T | "silence" | "reset"> {
    const fault = this.#next.shift() ?? this.#lasting;
    if (typeof fault === "object") return late(act, fault.slowMs);
    switch (fault) {
      case undefined:
        return act();
      case "slow":
        return late(act, SLOW_MS);
      case "silent":
        return "silence";
      case "reset":
      case "down":
        return "reset";
      case "brokenAfter":
        await act();
        throw failure(fault);
      case "brokenBefore":
      case "broken":
      case "throttled":
      case "denied":
        throw failure(fault);
    }
  }
}

async function late<T>(act: () => T | Promise<T>, ms: number): Promise<T> {
  const answer = await act();
  await setTimeout(ms);
  return answer;
}

type Failure = "throttled" | "denied" | "broken" | "brokenBefore" | "brokenAfter";

/** Holds in its message what must not leave an adapter. */
function failure(fault: Failure): GoogleStatus {
  const resource = "projects/111122223333/locations/europe-west1/keyRings/ring/cryptoKeys/key";
  switch (fault) {
    case "throttled":
      return new GoogleStatus(
        "RESOURCE_EXHAUSTED",
        "Quota exceeded for quota metric 'Cryptographic requests' of consumer 'project_number:111122223333'.",
        { reason: "RATE_LIMIT_EXCEEDED", domain: "googleapis.com" },
      );
    case "denied":
      return denied("cloudkms.cryptoKeyVersions.useToDecrypt", resource);
    case "broken":
    case "brokenBefore":
      return new GoogleStatus("UNAVAILABLE", `The service is currently unavailable for ${resource}.`);
    case "brokenAfter":
      return new GoogleStatus("INTERNAL", `Internal error encountered for ${resource}.`);
  }
}
