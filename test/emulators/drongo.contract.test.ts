import { afterAll, beforeAll } from "vitest";

import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import type { GoogleKms } from "../../src/kms/google-kms.ts";
import { useSandbox } from "../kubernetes/sandbox.ts";
import { DrongoKeys, startDrongo } from "./drongo.ts";
import { type GoogleFaultProxy, startGoogleFaultProxy } from "./google-fault-proxy.ts";
import { describeProviderContract } from "./provider-contract.ts";

const sandbox = useSandbox();
let withFaults: GoogleFaultProxy;
let keys: DrongoKeys;

beforeAll(async () => {
  const drongo = await startDrongo(sandbox);
  keys = new DrongoKeys(drongo.url);
  withFaults = await startGoogleFaultProxy(drongo.url);
});

afterAll(() => withFaults?.close());

const accessToken = async () => ({ token: "takes-anything", expiresAt: Number.MAX_SAFE_INTEGER });

const transports: { name: string; transport: () => GoogleKms }[] = [
  {
    name: "the SDK over REST",
    transport: () => createGoogleSdk({ endpoint: withFaults.url, transport: "rest" }),
  },
  {
    name: "REST by fetch",
    transport: () => createGoogleRest({ endpoint: withFaults.url, accessToken }),
  },
];

// drongo has one version a key, no states, no permissions and no gRPC, takes a wrong checksum, and encodes instead of
// encrypting: our fake shows the rest.
for (const { name, transport } of transports) {
  describeProviderContract<string>(`Google Cloud KMS by ${name}, on drongo`, {
    newKey: () => keys.create(),
    open: (cryptoKey) => createGcpProvider({ cryptoKey, transport: transport() }),
    deterministic: true,
    unknownKey: () => "projects/kek-broker-test/locations/europe-west1/keyRings/none/cryptoKeys/none",
    inAnotherRegion: (cryptoKey) => cryptoKey.replace("europe-west1", "us-central1"),
    inject: (fault) => withFaults.inject(fault),
  });
}
