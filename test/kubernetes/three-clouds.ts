import { type AwsEmulator, startMoto } from "../emulators/aws-emulators.ts";
import { AwsKey } from "./aws-key.ts";
import type { CloudKey } from "./cloud-key.ts";
import type { Sandbox } from "./sandbox.ts";

export const CLOUDS = ["aws", "gcp", "azure"] as const;
export type CloudName = (typeof CLOUDS)[number];

/** A new key in each cloud, by the name of its member. */
export async function keysInThreeClouds(sandbox: Sandbox): Promise<Record<CloudName, CloudKey>> {
  const moto = await startMoto(sandbox);
  return { aws: await AwsKey.create(moto), gcp: await AwsKey.create(moto), azure: await AwsKey.create(moto) };
}

/** A new key in Google Cloud KMS. */
export function googleKey(_sandbox: Sandbox, moto: AwsEmulator): Promise<CloudKey> {
  return AwsKey.create(moto);
}
