import { waitUntil } from "cloudflare:workers";

import { createGoogleRest } from "../kms/gcp-rest.ts";
import type { Platform } from "../kms/platform.ts";
import { fixedKey, ownIssuer } from "./own-issuer.ts";

/** What of the Worker's bindings the platform is made of. */
export interface WorkerSecrets {
  readonly KEK_BROKER_SIGNING_KEY?: string;
  readonly AWS_ACCESS_KEY_ID?: string;
  readonly AWS_SECRET_ACCESS_KEY?: string;
}

/** Cloudflare Workers: no cloud knows them, so who the broker is comes from its own issuer. */
export function workerPlatform(secrets: WorkerSecrets): Platform {
  const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = secrets;
  const hasKeys = accessKeyId !== undefined && secretAccessKey !== undefined;
  return {
    fetch: (request) => fetch(request),
    now: Date.now,
    background: waitUntil,
    google: ({ endpoint, accessToken }) => {
      if (accessToken === undefined) throw new TypeError("Workers have no credentials for Google");
      return createGoogleRest({ endpoint, accessToken });
    },
    awsCredentials: hasKeys ? { accessKeyId, secretAccessKey } : undefined,
    azureCredential: () => {
      throw new TypeError("Workers have no credentials for Azure");
    },
    identity: ({ issuer }) => {
      if (issuer === undefined) throw new TypeError("Workers have no identity of their own");
      return ownIssuer(issuer, fixedKey(secrets.KEK_BROKER_SIGNING_KEY), Date.now);
    },
  };
}
