import { afterAll, beforeAll } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { useSandbox } from "../kubernetes/sandbox.ts";
import { CREDENTIALS, KeyAdmin, startMoto } from "./aws-emulators.ts";
import { type AwsFaultProxy, startAwsFaultProxy } from "./aws-fault-proxy.ts";
import type { LoopbackServer } from "./loopback-server.ts";
import { startMotoWithKeyMaterialIdsAddedByUs } from "./moto-with-key-material-ids-added-by-us.ts";
import { describeProviderContract } from "./provider-contract.ts";

const sandbox = useSandbox();
let withMaterialIds: LoopbackServer;
let withFaults: AwsFaultProxy;
let admin: KeyAdmin;

beforeAll(async () => {
  const moto = await startMoto(sandbox);
  admin = new KeyAdmin(moto.url);
  withMaterialIds = await startMotoWithKeyMaterialIdsAddedByUs(moto.url);
  withFaults = await startAwsFaultProxy(withMaterialIds.url);
});

afterAll(async () => {
  await withFaults?.close();
  await withMaterialIds?.close();
});

// moto lets disabled keys and keys pending deletion work: local-kms shows those.
describeProviderContract<string>("AWS KMS, on moto with key material ids added by us", {
  newKey: () => admin.createKey(),
  open: (keyArn) => createAwsProvider({ keyArn, endpoint: withFaults.url, credentials: CREDENTIALS }),
  async rotate(keyArn) {
    await admin.rotate(keyArn);
    return keyArn;
  },
  unknownKey: () => "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-4000-8000-000000000000",
  inAnotherRegion: (keyArn) => keyArn.replace("us-east-1", "eu-west-1"),
  inject: (fault) => withFaults.inject(fault),
});
