import type { TokenCredential } from "@azure/core-auth";

import type { AccessToken } from "../access-token.ts";
import { cached, type Cached, type CachedOptions } from "./cached.ts";

/** What an Azure SDK asks for. */
export interface AzureTokenRequest {
  /** As `https://vault.azure.net/.default`. */
  readonly scope: string;
  /** Of a resource that no longer takes the last token. */
  readonly claims?: string | undefined;
}

/** A credential as Azure's SDKs take it, that can be told that its token was refused. */
export interface AzureCredential extends TokenCredential {
  readonly forget: () => void;
}

/**
 * A credential as Azure's SDKs take it, which keeps a token for each scope. The tenant that a vault's challenge names is
 * not followed: who the broker is, its configuration says.
 */
export function azureCredential(
  get: (request: AzureTokenRequest, signal: AbortSignal) => Promise<AccessToken>,
  time: Pick<CachedOptions<AccessToken>, "now" | "background">,
): AzureCredential {
  const sources = new Map<string, Cached<AccessToken>>();
  return {
    getToken: async (scopes, options) => {
      const scope = typeof scopes === "string" ? scopes : scopes.join(" ");
      const claims = options?.claims;
      const kept = claims === undefined ? sources.get(scope) : undefined;
      const source = kept ?? cached({ ...time, get: (signal) => get({ scope, claims }, signal) });
      sources.set(scope, source);
      // The SDK shares one answer among requests, so that the end of one must not be the end of the others.
      const { token, expiresAt } = await source(new AbortController().signal);
      return { token, expiresOnTimestamp: expiresAt };
    },
    forget: () => {
      for (const source of sources.values()) source.forget();
    },
  };
}
