import { afterAll, beforeAll } from "vitest";

import type { BrokerTarget } from "../../conformance/http/suite.ts";
import { startWorker } from "../../conformance/http/workerd.ts";
import { FakeAwsKms } from "../aws-kms-fake.ts";
import { FakeKeyVault } from "../azure-key-vault-fake.ts";
import { keysOfAzure, keysOfGoogle } from "../fake-keys.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../google-kms-fake.ts";
import { describeProviderContract } from "../provider-contract.ts";
import { sendOn } from "../clouds/emulated-clouds.ts";
import { ProviderInside, rememberTimeouts } from "./provider-inside.ts";

const VAULT = "https://kek-test.vault.azure.net";
const aws = new FakeAwsKms();
const vault = new FakeKeyVault({ url: VAULT, acceptToken: (token) => token === "a-token" });
let google: GoogleKmsFake;
let worker: BrokerTarget;
let forget: () => void;

beforeAll(async () => {
  forget = rememberTimeouts();
  google = await startGoogleKmsFake({ accepts: (token) => token === "a-token" });
  worker = await startWorker("test/emulators/workerd/providers-worker.ts", {
    outbound: (request) => {
      const { host } = new URL(request.url);
      if (/^kms\.[a-z0-9-]+\.amazonaws\.com$/.test(host)) return aws.handle(request);
      if (host === new URL(VAULT).host) return vault.handle(request);
      if (host === "cloudkms.googleapis.com") return sendOn(request, google.restUrl);
      throw new Error(`nobody is ${host}`);
    },
  });
});
afterAll(async () => {
  await worker?.close();
  await google?.close();
  forget?.();
});

describeProviderContract<string>("AWS KMS by the SDK inside workerd, on our fake", {
  newKey: async () => aws.createKey(),
  open: (key) =>
    new ProviderInside(
      worker.url,
      { cloud: "aws", key },
      { symmetric: true, needsVersionToUnwrap: false, maxWrapBytes: 184 },
    ),
  async rotate(key) {
    aws.rotate(key);
    return key;
  },
  disable: async (key) => aws.setState(key, "Disabled"),
  enable: async (key) => aws.setState(key, "Enabled"),
  scheduleDeletion: async (key) => aws.setState(key, "PendingDeletion"),
  forbid: async (key) => aws.forbid(key),
  unknownKey: () => "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000",
  inAnotherRegion: (key) => key.replace("us-east-1", "eu-west-1"),
  inject: (fault) => aws.inject(fault),
});

describeProviderContract<string>("Google Cloud KMS by REST inside workerd, on our fake", {
  ...keysOfGoogle(() => google),
  open: (key) =>
    new ProviderInside(
      worker.url,
      { cloud: "gcp", key },
      { symmetric: true, needsVersionToUnwrap: false, maxWrapBytes: 114 },
    ),
});

describeProviderContract<string>("Azure Key Vault by the SDK inside workerd, on our fake", {
  ...keysOfAzure(() => vault, { kty: "RSA", bits: 2048 }),
  open: (key) =>
    new ProviderInside(
      worker.url,
      { cloud: "azure", key },
      { symmetric: false, needsVersionToUnwrap: true, maxWrapBytes: 256 },
    ),
});
