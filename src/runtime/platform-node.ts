import type { TokenCredential } from "@azure/core-auth";

import { fromCredentialError } from "../kms/azure-error.ts";
import { createGoogleSdk } from "../kms/gcp-sdk.ts";
import { azureCredential, type AzureCredential } from "../kms/identity/azure-credential.ts";
import { ProviderError } from "../kms/key-provider.ts";
import type { Platform } from "../kms/platform.ts";
import { fixedKey, ownIssuer } from "./own-issuer.ts";
import { platformIdentity } from "./platform-identity.ts";
import { readSigningKey } from "./signing-key-file.ts";

/** Node: on a machine, in a container, on Lambda. Credentials come from where each cloud's SDK looks for them. */
export function nodePlatform(env: NodeJS.ProcessEnv): Platform {
  const now = Date.now;
  return {
    fetch: (request) => fetch(request),
    now,
    background: undefined,
    google: ({ transport = "grpc", ...access }) => createGoogleSdk({ ...access, transport }),
    awsCredentials: undefined,
    azureCredential: () => defaultAzureCredential(env, now),
    identity: async ({ issuer, platform }) => {
      if (platform !== undefined) return platformIdentity(platform, env);
      if (issuer === undefined) throw new TypeError("an identity is an issuer or a platform");
      const { keyFile } = issuer;
      const key =
        keyFile === undefined ? fixedKey(env["KEK_BROKER_SIGNING_KEY"]) : () => readSigningKey(keyFile);
      return ownIssuer(issuer, key, now);
    },
  };
}

/**
 * What may be where a broker runs: a service principal in the environment, workload identity in Kubernetes, a managed
 * identity. Not who is logged in to a developer's tools, as `DefaultAzureCredential` would try: a broker that finds no
 * identity must say so, and not act in a person's name.
 */
function defaultAzureCredential(env: NodeJS.ProcessEnv, now: () => number): AzureCredential {
  let chain: Promise<TokenCredential> | undefined;
  return azureCredential(
    async ({ scope, claims }, signal) => {
      try {
        chain ??= loadAzureCredential(env);
        const token = await (
          await chain
        ).getToken(scope, { abortSignal: signal, ...(claims !== undefined && { claims }) });
        if (token === null) throw new ProviderError("AccessDenied", "Azure token: none could be had");
        return { token: token.token, expiresAt: token.expiresOnTimestamp };
      } catch (error) {
        throw fromCredentialError(error);
      }
    },
    { now },
  );
}

async function loadAzureCredential(env: NodeJS.ProcessEnv): Promise<TokenCredential> {
  const sdk = await import("@azure/identity");
  const clientId = env["AZURE_CLIENT_ID"];
  return new sdk.ChainedTokenCredential(
    new sdk.EnvironmentCredential(),
    ...(env["AZURE_FEDERATED_TOKEN_FILE"] === undefined ? [] : [new sdk.WorkloadIdentityCredential()]),
    new sdk.ManagedIdentityCredential(clientId === undefined ? {} : { clientId }),
  );
}
