import type { AccessTokenSource } from "./access-token.ts";
import type { AwsProviderOptions } from "./aws.ts";
import type { GoogleKms } from "./google-kms.ts";
import type { AzureCredential } from "./identity/azure-credential.ts";
import type { ExchangeDeps } from "./identity/exchange.ts";
import type { IdentityTokenSource } from "./identity/identity-token.ts";

/** How a member's Google key is reached. */
export interface GoogleAccess {
  readonly endpoint?: string | undefined;
  /** `grpc` where it is not said and there is gRPC. */
  readonly transport?: "grpc" | "rest" | undefined;
  /** Without it: what the platform gives. */
  readonly accessToken?: AccessTokenSource | undefined;
}

/** What differs between the runtimes that a broker runs on. Nothing here asks a cloud before its first use. */
export interface Platform extends ExchangeDeps {
  /** Lets work outlive the request that began it: Workers end the rest. `undefined` where nothing would. */
  readonly background: ((work: Promise<unknown>) => void) | undefined;
  /** @throws TypeError where access tokens must be given and are not: the configuration is checked for that. */
  readonly google: (access: GoogleAccess) => GoogleKms;
  /** The platform's own for AWS; `undefined` leaves it to AWS's SDK to find some. */
  readonly awsCredentials: AwsProviderOptions["credentials"];
  /** The platform's own for Azure. @throws TypeError where there is none, as for `google`. */
  readonly azureCredential: () => AzureCredential;
  /**
   * Who the broker is to clouds of members with `federation`.
   * @throws DocumentError when the signing key is missing or none.
   */
  readonly identity: (identity: IdentitySettings) => Promise<IdentityTokenSource>;
}

/** As the configuration has it: exactly one alternative is there. */
export interface IdentitySettings {
  readonly issuer?:
    | { readonly url: string; readonly subject: string; readonly keyFile?: string | undefined }
    | undefined;
  readonly platform?: "aws" | "google" | "azure" | undefined;
}
