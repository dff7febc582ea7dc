import { startMoto } from "../emulators/aws-emulators.ts";
import { AwsKey } from "./aws-key.ts";
import { AzureKey } from "./azure-key.ts";
import type { CloudKey } from "./cloud-key.ts";
import { GoogleKey } from "./google-key.ts";
import type { Sandbox } from "./sandbox.ts";

export const CLOUDS = ["aws", "gcp", "azure"] as const;
export type CloudName = (typeof CLOUDS)[number];

/** A new key in each cloud, by the name of its member. Once in a sandbox. */
export async function keysInThreeClouds(
  sandbox: Sandbox,
  rsaBits: 2048 | 3072 = 2048,
): Promise<Record<CloudName, CloudKey>> {
  const [aws, gcp, azure] = await Promise.all([
    startMoto(sandbox).then((moto) => AwsKey.create(moto)),
    GoogleKey.create(),
    AzureKey.create(sandbox, rsaBits),
  ]);
  return { aws, gcp, azure };
}
