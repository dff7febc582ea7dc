/**
 * What the broker records about a use of a KEK: an intent before the act, an outcome after it. Plain data, no
 * secrets; the custody log will hold the same shapes.
 */
export interface Intent {
  readonly kind: "intent";
  /** Unique for each act; the outcome repeats it. */
  readonly id: string;
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly requestId: string;
  readonly operation: "wrap" | "unwrap";
  readonly principal: PrincipalEntry;
  readonly kek: string;
  /** The cluster `id` the envelope is or will be bound to. */
  readonly cluster: string;
  /** The caller's name for the request: kube-apiserver's UUID, or `probe-…` for a shim's test of a new key version. */
  readonly uid?: string;
  /** Hex SHA-256 of the envelope to be opened; absent for a wrap. */
  readonly envelope?: string;
  /** Digest of the configuration that allowed it. */
  readonly config: string;
}

export interface PrincipalEntry {
  readonly kind: "node" | "oidc";
  /** The cluster's map key. */
  readonly cluster: string;
  /** `<cluster>/<node>`, or the OIDC subject. */
  readonly subject: string;
  /** OIDC issuer, or the node key's RFC 7638 thumbprint. */
  readonly authority: string;
}

export interface Outcome {
  readonly kind: "outcome";
  readonly id: string;
  readonly time: string;
  readonly requestId: string;
  /** `ok`, or the problem code answered. */
  readonly result: string;
  /** Empty when no member was reached. */
  readonly members: readonly MemberOutcome[];
  readonly keyId?: string | null;
  /** Hex SHA-256 of the envelope a wrap made. */
  readonly envelope?: string;
}

export interface MemberOutcome {
  readonly name: string;
  /**
   * `ok`; a ProviderErrorCode; `unproven` for a wrap that was made but did not open again to what was wrapped; or
   * `unfinished` for a call that had no answer when the act ended. The cloud may have done what has no good answer:
   * whoever counts releases counts those too.
   */
  readonly result: string;
  readonly keyVersion?: string;
  /** The clouds' own request ids, for reconciling with their logs. */
  readonly cloudRequestIds?: readonly string[];
}
