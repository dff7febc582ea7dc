import { type AwsProviderOptions, createAwsProvider, regionOf } from "./aws.ts";
import { type AzureProviderOptions, createAzureProvider } from "./azure.ts";
import { createGcpProvider } from "./gcp.ts";
import { type AwsFederation, assumeRole } from "./identity/aws.ts";
import { azureCredential } from "./identity/azure-credential.ts";
import { cached } from "./identity/cached.ts";
import { type EntraFederation, exchangeAtEntra } from "./identity/entra.ts";
import { exchangeAtGoogle, type GoogleFederation } from "./identity/google.ts";
import type { IdentityTokenSource } from "./identity/identity-token.ts";
import { forgetful } from "./forgetful.ts";
import type { KeyProvider } from "./key-provider.ts";
import { createLocalProvider, type LocalProviderOptions } from "./local.ts";
import type { GoogleAccess, Platform } from "./platform.ts";

/** One of a KEK's members as the configuration has it: exactly one alternative is there. */
export interface MemberKey {
  readonly awsKms?: AwsKey | undefined;
  readonly gcpKms?: GoogleKey | undefined;
  readonly azureKeyVault?: AzureKey | undefined;
  readonly local?: LocalProviderOptions | undefined;
}

type AwsKey = Pick<AwsProviderOptions, "keyArn" | "endpoint"> & {
  readonly federation?: AwsFederation | undefined;
};

type GoogleKey = Pick<GoogleAccess, "endpoint" | "transport"> & {
  readonly cryptoKey: string;
  readonly federation?: GoogleFederation | undefined;
};

type AzureKey = Pick<AzureProviderOptions, "keyUrl" | "algorithm" | "bits"> & {
  readonly federation?: EntraFederation | undefined;
};

/** Where a provider is used. */
export interface ProviderPlace {
  readonly platform: Platform;
  /** The KEK's name: clouds log it with who the broker is there. */
  readonly kek: string;
  /** There if any member has `federation`. */
  readonly identity?: IdentityTokenSource | undefined;
  /** Whether the member's key is on a host that is not Azure's: an emulator. */
  readonly anyHost: boolean;
}

/** The member's provider. No cloud is asked, and no SDK loaded, before its first call. */
export function providerFor(
  { awsKms, gcpKms, azureKeyVault, local, ...others }: MemberKey,
  place: ProviderPlace,
): KeyProvider {
  others satisfies Record<string, never>;
  if (awsKms !== undefined) return awsProvider(awsKms, place);
  if (gcpKms !== undefined) return googleProvider(gcpKms, place);
  if (azureKeyVault !== undefined) return azureProvider(azureKeyVault, place);
  if (local !== undefined) return createLocalProvider(local);
  throw new TypeError("a member names one of awsKms, gcpKms, azureKeyVault and local");
}

function awsProvider({ keyArn, endpoint, federation }: AwsKey, place: ProviderPlace): KeyProvider {
  const { platform, kek } = place;
  if (federation === undefined) {
    return createAwsProvider({ keyArn, endpoint, credentials: platform.awsCredentials });
  }
  const role = {
    federation,
    identity: identityOf(place),
    region: regionOf(keyArn),
    sessionName: `kek-broker-${kek}`,
  };
  const session = cached({ ...timeOf(platform), get: (signal) => assumeRole(role, platform, signal) });
  return forgetful(createAwsProvider({ keyArn, endpoint, session }), session);
}

function googleProvider({ cryptoKey, federation, ...access }: GoogleKey, place: ProviderPlace): KeyProvider {
  const { platform } = place;
  if (federation === undefined) {
    return createGcpProvider({ cryptoKey, transport: platform.google(access) });
  }
  const principal = { federation, identity: identityOf(place) };
  const get = (signal: AbortSignal) => exchangeAtGoogle(principal, platform, signal);
  const accessToken = cached({ ...timeOf(platform), get });
  const transport = platform.google({ ...access, accessToken });
  return forgetful(createGcpProvider({ cryptoKey, transport }), accessToken);
}

function azureProvider({ federation, ...key }: AzureKey, place: ProviderPlace): KeyProvider {
  const { platform, anyHost } = place;
  const rest = { ...key, anyHost, now: platform.now };
  if (federation === undefined) {
    const credential = platform.azureCredential();
    return forgetful(createAzureProvider({ ...rest, credential }), credential);
  }
  const application = { federation, identity: identityOf(place) };
  const credential = azureCredential(
    (request, signal) => exchangeAtEntra({ ...application, ...request }, platform, signal),
    timeOf(platform),
  );
  return forgetful(createAzureProvider({ ...rest, credential }), credential);
}

function timeOf({ now, background }: Platform) {
  return { now, background };
}

function identityOf({ identity }: ProviderPlace): IdentityTokenSource {
  if (identity === undefined) throw new TypeError("federation without an identity");
  return identity;
}
