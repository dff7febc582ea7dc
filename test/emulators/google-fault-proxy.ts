import { GoogleFaults } from "./google-faults.ts";
import { jsonOf } from "./google-kms-rest.ts";
import { GoogleStatus } from "./google-status.ts";
import { forward, type LoopbackServer, startLoopbackServer } from "./loopback-server.ts";
import type { ContractFault } from "./provider-contract.ts";

export interface GoogleFaultProxy extends LoopbackServer {
  /** The next requests, in this order, meet these faults; those after them are passed on. */
  inject(...faults: readonly ContractFault[]): void;
}

/** Stands in front of a server of Google's REST API and passes on everything, but for the faults asked for. */
export async function startGoogleFaultProxy(upstream: string): Promise<GoogleFaultProxy> {
  const faults = new GoogleFaults();
  const server = await startLoopbackServer(async (request) => {
    try {
      return await faults.meet(() => forward(upstream, request));
    } catch (error) {
      if (error instanceof GoogleStatus) return jsonOf(error);
      throw error;
    }
  });
  return { ...server, inject: (...next) => faults.inject(...next) };
}
