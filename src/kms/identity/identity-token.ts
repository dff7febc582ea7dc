/**
 * An OIDC token of the broker's own, for one audience: what a cloud that trusts its issuer exchanges for credentials.
 * @throws ProviderError `AccessDenied`, `Throttled`, `Timeout` or `Unavailable`.
 */
export type IdentityTokenSource = (audience: string, signal: AbortSignal) => Promise<string>;
