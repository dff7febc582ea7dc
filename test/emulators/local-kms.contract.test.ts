import { afterAll, beforeAll } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { useSandbox } from "../kubernetes/sandbox.ts";
import { CREDENTIALS, KeyAdmin, startLocalKms } from "./aws-emulators.ts";
import { type AwsFaultProxy, startAwsFaultProxy } from "./aws-fault-proxy.ts";
import { describeProviderContract } from "./provider-contract.ts";

const sandbox = useSandbox();
let withFaults: AwsFaultProxy;
let admin: KeyAdmin;

beforeAll(async () => {
  const localKms = await startLocalKms(sandbox);
  admin = new KeyAdmin(localKms.url);
  withFaults = await startAwsFaultProxy(localKms.url);
});

afterAll(() => withFaults?.close());

// No rotation on demand, one region only, and versions are creation dates: moto shows those.
describeProviderContract<string>("AWS KMS, on local-kms", {
  newKey: () => admin.createKey(),
  open: (keyArn) => createAwsProvider({ keyArn, endpoint: withFaults.url, credentials: CREDENTIALS }),
  disable: (keyArn) => admin.disable(keyArn),
  enable: (keyArn) => admin.enable(keyArn),
  scheduleDeletion: (keyArn) => admin.scheduleDeletion(keyArn),
  unknownKey: () => "arn:aws:kms:us-east-1:111122223333:key/00000000-0000-4000-8000-000000000000",
  inject: (fault) => withFaults.inject(fault),
});
