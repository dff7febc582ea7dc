import { afterAll, beforeAll, vi } from "vitest";

import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import type { GoogleKms } from "../../src/kms/google-kms.ts";
import { keysOfGoogle } from "../emulators/fake-keys.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../emulators/google-kms-fake.ts";
import { describeProviderContract } from "../emulators/provider-contract.ts";

// The SDK takes its time to load on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

let fake: GoogleKmsFake;
beforeAll(async () => {
  fake = await startGoogleKmsFake();
});
afterAll(() => fake?.close());

const accessToken = async () => ({ token: "a-token", expiresAt: Number.MAX_SAFE_INTEGER });

const transports: { name: string; transport: () => GoogleKms }[] = [
  {
    name: "the SDK over gRPC",
    transport: () => createGoogleSdk({ endpoint: fake.grpcUrl, transport: "grpc" }),
  },
  {
    name: "the SDK over REST",
    transport: () => createGoogleSdk({ endpoint: fake.restUrl, transport: "rest" }),
  },
  { name: "REST by fetch", transport: () => createGoogleRest({ endpoint: fake.restUrl, accessToken }) },
];

for (const { name, transport } of transports) {
  describeProviderContract<string>(`Google Cloud KMS by ${name}, on our fake`, {
    ...keysOfGoogle(() => fake),
    open: (cryptoKey) => createGcpProvider({ cryptoKey, transport: transport() }),
  });
}
