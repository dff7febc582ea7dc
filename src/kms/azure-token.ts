import type { AccessToken, GetTokenOptions, TokenCredential } from "@azure/core-auth";

import { fromCredentialError } from "./azure-error.ts";
import { ProviderError } from "./key-provider.ts";

/** A new token is asked for when the last one has less than this left … */
const RENEW_MS = 5 * 60_000;
/** … and the last one is used on, if there is none, while it has more than this. */
const USABLE_MS = 10_000;

interface Held {
  readonly purpose: string;
  readonly token: AccessToken;
}

/**
 * Keeps a credential's token, so that the SDK need not: it renews in the background, and on Workers what one request
 * leaves behind never ends, so that every later request would wait for it. Tokens it gives out say that they have
 * expired, and so are asked for at each request, which waits for them itself.
 * @throws ProviderError.
 */
export class HeldToken implements TokenCredential {
  readonly #credential: TokenCredential;
  readonly #now: () => number;
  #held: Held | undefined;
  #asking = 0;

  /** @param now milliseconds since the epoch. */
  constructor(credential: TokenCredential, now: () => number) {
    this.#credential = credential;
    this.#now = now;
  }

  /** Whether a token has been asked for that has not come yet. */
  get isAsking(): boolean {
    return this.#asking > 0;
  }

  /** The vault did not take it. */
  forget(): void {
    this.#held = undefined;
  }

  async getToken(scopes: string | string[], options: GetTokenOptions = {}): Promise<AccessToken> {
    const purpose = JSON.stringify([scopes, options.tenantId]);
    const held =
      options.claims === undefined && this.#held?.purpose === purpose ? this.#held.token : undefined;
    const leftMs = held === undefined ? 0 : held.expiresOnTimestamp - this.#now();
    if (held !== undefined && leftMs > RENEW_MS) return alreadyExpired(held);
    this.#asking++;
    try {
      const token = await this.#credential.getToken(scopes, options);
      if (token === null) throw new ProviderError("AccessDenied", "Azure token: none could be had");
      this.#held = { purpose, token };
      return alreadyExpired(token);
    } catch (error) {
      if (held !== undefined && leftMs > USABLE_MS) return alreadyExpired(held);
      throw fromCredentialError(error);
    } finally {
      this.#asking--;
    }
  }
}

function alreadyExpired({ token }: AccessToken): AccessToken {
  return { token, expiresOnTimestamp: 0 };
}
