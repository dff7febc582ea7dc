import { type KeyProvider, ProviderError } from "./key-provider.ts";

/**
 * The same provider, whose credentials are not kept once its cloud has refused them. They may have been revoked, or
 * have ended by another clock than ours; else they would be refused until they end by ours.
 */
export function forgetful(provider: KeyProvider, credentials: { readonly forget: () => void }): KeyProvider {
  const watched = async <T>(answer: Promise<T>): Promise<T> => {
    try {
      return await answer;
    } catch (error) {
      if (error instanceof ProviderError && error.code === "AccessDenied") credentials.forget();
      throw error;
    }
  };
  return {
    symmetric: provider.symmetric,
    maxWrapBytes: provider.maxWrapBytes,
    needsVersionToUnwrap: provider.needsVersionToUnwrap,
    wrap: (plaintext, context, call) => watched(provider.wrap(plaintext, context, call)),
    unwrap: (wrap, context, call, openVersion) => watched(provider.unwrap(wrap, context, call, openVersion)),
    currentVersion: (call) => watched(provider.currentVersion(call)),
  };
}
