/** A bearer token for one cloud's API. */
export interface AccessToken {
  /** Secret. */
  readonly token: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

/**
 * Gives a token that lives for at least the next minutes, from memory where it can.
 * @throws ProviderError `AccessDenied`, `Throttled`, `Timeout` or `Unavailable`.
 */
export type AccessTokenSource = (signal: AbortSignal) => Promise<AccessToken>;
