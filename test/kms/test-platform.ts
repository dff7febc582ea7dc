import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import type { Platform } from "../../src/kms/platform.ts";

/** A platform without anything of its own: what a test leaves out must not be asked for. */
export function testPlatform(own: Partial<Platform> = {}): Platform {
  return {
    fetch: (request) => fetch(request),
    now: Date.now,
    background: undefined,
    google: ({ endpoint, accessToken }) => {
      if (accessToken === undefined) throw new TypeError("no credentials for Google");
      return createGoogleRest({ endpoint, accessToken });
    },
    awsCredentials: undefined,
    azureCredential: () => {
      throw new TypeError("no credentials for Azure");
    },
    identity: () => Promise.reject(new TypeError("no identity")),
    ...own,
  };
}
