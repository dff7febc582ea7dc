import { type FailureFault, Faults } from "./faults.ts";
import { forward, type LoopbackServer, type Reply, startLoopbackServer } from "./loopback-server.ts";
import type { ContractFault } from "./provider-contract.ts";

export interface AwsFaultProxy extends LoopbackServer {
  /** The next requests, in this order, meet these faults; those after them are passed on. */
  inject(...faults: readonly ContractFault[]): void;
  /** How many requests went on to the server behind. */
  readonly passedOn: number;
}

/** Stands in front of an AWS emulator and passes on everything, but for the faults asked for. */
export async function startAwsFaultProxy(upstream: string): Promise<AwsFaultProxy> {
  const faults = new Faults<Reply>(failure);
  let passedOn = 0;
  const server = await startLoopbackServer((request) =>
    faults.meet(() => {
      passedOn++;
      return forward(upstream, request);
    }),
  );
  return {
    ...server,
    inject: (...next) => faults.inject(...next),
    get passedOn() {
      return passedOn;
    },
  };
}

function failure(fault: FailureFault): Reply {
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
