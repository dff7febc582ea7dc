/** Why a caller was refused, in more detail than the code it gets: for our log and metrics only. A closed set. */
export type Reason = AuthenticationReason | DenialReason | LimitReason;

/** Nobody we know, as far as this request shows. */
export type AuthenticationReason =
  | "no-credentials"
  | "malformed-token"
  | "oversized-token"
  | "unknown-principal"
  | "wrong-algorithm"
  | "critical-header"
  | "bad-signature"
  | "unusable-key"
  | "wrong-type"
  | "wrong-issuer"
  | "wrong-subject"
  | "wrong-audience"
  | "missing-claim"
  | "bad-claim"
  | "expired"
  | "clock-skew"
  | "too-long-lived"
  | "wrong-method"
  | "wrong-path"
  | "wrong-body"
  | "registration-ended"
  | "issuer-unavailable";

/** Somebody we know, who may not. */
export type DenialReason = "revoked" | "unknown-kek" | "not-granted" | "another-cluster";

type LimitReason = "principal-limit" | "cluster-limit";
