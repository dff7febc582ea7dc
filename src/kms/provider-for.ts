import { type AwsProviderOptions, createAwsProvider } from "./aws.ts";
import type { KeyProvider } from "./key-provider.ts";
import { createLocalProvider, type LocalProviderOptions } from "./local.ts";

/** One of a KEK's members as the configuration has it: exactly one alternative is there. */
export interface MemberKey {
  readonly awsKms?: Pick<AwsProviderOptions, "keyArn" | "endpoint"> | undefined;
  readonly local?: LocalProviderOptions | undefined;
}

/** The member's provider. No cloud is asked, and no SDK loaded, before its first call. */
export function providerFor({ awsKms, local, ...others }: MemberKey): KeyProvider {
  others satisfies Record<string, never>;
  if (awsKms !== undefined) return createAwsProvider(awsKms);
  if (local !== undefined) return createLocalProvider(local);
  throw new TypeError("a member names one of awsKms and local");
}
