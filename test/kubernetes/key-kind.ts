import { startMoto } from "../emulators/aws-emulators.ts";
import { AwsKey } from "./aws-key.ts";
import { type CustodianKey, LocalKey } from "./cloud-key.ts";
import type { Sandbox } from "./sandbox.ts";

/** The kinds of key that the scenarios with one member keep Secrets under, as the broker's configuration calls them. */
export const KEY_KINDS = ["local", "awsKms"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

export async function makeKey(sandbox: Sandbox, kind: KeyKind): Promise<CustodianKey> {
  switch (kind) {
    case "local":
      return new LocalKey();
    case "awsKms":
      return AwsKey.create(await startMoto(sandbox));
  }
}
