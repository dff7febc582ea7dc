import { setTimeout } from "node:timers/promises";

import { forward, type LoopbackServer, type Reply, startLoopbackServer } from "./loopback-server.ts";
import type { ContractFault } from "./provider-contract.ts";

const SLOW_MS = 150;

export interface AwsFaultProxy extends LoopbackServer {
  /** The next requests, in this order, meet these faults; those after them are passed on. */
  inject(...faults: readonly ContractFault[]): void;
  /** How many requests went on to the server behind. */
  readonly passedOn: number;
}

/** Stands in front of an AWS emulator and passes on everything, but for the faults asked for. */
export async function startAwsFaultProxy(upstream: string): Promise<AwsFaultProxy> {
  const pending: ContractFault[] = [];
  let passedOn = 0;
  const server = await startLoopbackServer(async (request): Promise<Reply> => {
    const fault = pending.shift();
    if (fault !== undefined && fault !== "brokenAfter" && fault !== "slow") return failure(fault);
    passedOn++;
    const answer = await forward(upstream, request);
    if (fault === "slow") await setTimeout(SLOW_MS);
    return fault === "brokenAfter" ? failure(fault) : answer;
  });
  return {
    ...server,
    inject: (...faults) => void pending.push(...faults),
    get passedOn() {
      return passedOn;
    },
  };
}

function failure(fault: Exclude<ContractFault, "slow">): Reply {
  switch (fault) {
    case "throttled":
      return awsError(400, "ThrottlingException");
    case "denied":
      return awsError(400, "AccessDeniedException");
    case "brokenBefore":
    case "brokenAfter":
      return awsError(500, "KMSInternalException");
    case "silent":
      return "silence";
    case "reset":
      return "reset";
  }
}

/** An error as the JSON 1.1 protocol has it, with the things in its message that must not leave the adapter. */
export function awsError(status: number, type: string, requestId = "cloud-request-1"): Reply {
  const message =
    "User: arn:aws:iam::111122223333:user/someone, key arn:aws:kms:us-east-1:111122223333:key/some-key";
  return {
    status,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": requestId },
    body: JSON.stringify({ __type: type, message }),
  };
}
