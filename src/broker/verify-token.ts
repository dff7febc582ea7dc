import { errors, jwtVerify, type CryptoKey, type JWTPayload, type JWTVerifyOptions } from "jose";

import { OutOfTime } from "../wire/deadline.ts";
import { IssuerError } from "./issuer-document.ts";
import { BrokerProblem } from "./problem.ts";
import type { AuthenticationReason } from "./reason.ts";

/** How far a caller's clock may be from ours, in seconds. */
const CLOCK_TOLERANCE_S = 5;

const CLOCK_DETAIL =
  "The token is not valid at this broker's time, which is in the Date header: set the clock right and make a new token.";
const AUDIENCE_DETAIL =
  "The token's aud must be exactly the `audience` of the broker's configuration, and only that.";

/** What every kind of token is checked for. All are required: jose checks `iss` and `aud` only when asked to. */
export interface TokenRules {
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  readonly algorithms: string[];
  readonly requiredClaims: string[];
  /** The longest life, `exp` − `iat`, in seconds. */
  readonly maxLifetime: number;
  /** Whether a token that is past its time shows a wrong clock: true if callers make one for each request. */
  readonly expiredIsSkew: boolean;
}

/**
 * Checks a token's signature, then what it claims. Nothing about a token is told before its signature is proven.
 * @param now Milliseconds since the epoch.
 * @returns The claims, or undefined when the signature is not by this key.
 * @throws BrokerProblem `AuthenticationFailed`, `ClockSkew`, or `DependencyTimeout`.
 */
export async function verifyToken(
  token: string,
  key: CryptoKey,
  rules: TokenRules,
  now: number,
): Promise<JWTPayload | undefined> {
  const { maxLifetime, expiredIsSkew, ...required } = rules;
  const options: JWTVerifyOptions = {
    ...required,
    currentDate: new Date(now),
    clockTolerance: CLOCK_TOLERANCE_S,
    // With it jose also requires `iat`, as a number and not in the future.
    maxTokenAge: maxLifetime,
  };
  try {
    const { payload } = await jwtVerify(token, key, options);
    requireOneAudience(payload);
    requireShortLived(payload, maxLifetime);
    return payload;
  } catch (error) {
    if (error instanceof errors.JWSSignatureVerificationFailed) return undefined;
    throw tokenProblem(error, expiredIsSkew);
  }
}

/** A token signed by nobody we know, or by another than it says. */
export function unknownCaller(reason: AuthenticationReason, cause?: unknown): BrokerProblem {
  return new BrokerProblem(
    "AuthenticationFailed",
    "No caller in the broker's configuration matches this token's issuer, subject and key.",
    { reason, cause },
  );
}

/** A genuine token that claims something else than it must. */
export function refusedClaim(reason: AuthenticationReason, detail: string): BrokerProblem {
  return new BrokerProblem("AuthenticationFailed", detail, { reason });
}

/** A token made for several services could be sent on by any of them. */
function requireOneAudience({ aud }: JWTPayload): void {
  if (Array.isArray(aud) && aud.length !== 1) throw refusedClaim("wrong-audience", AUDIENCE_DETAIL);
}

function requireShortLived({ iat, exp }: JWTPayload, maxLifetime: number): void {
  if (iat !== undefined && exp !== undefined && exp - iat <= maxLifetime) return;
  throw refusedClaim("too-long-lived", `The token lives too long: exp − iat is at most ${maxLifetime} s.`);
}

/** What an error of jose means for the caller. */
export function tokenProblem(error: unknown, expiredIsSkew: boolean): BrokerProblem {
  if (error instanceof BrokerProblem) return error;
  if (error instanceof errors.JWTExpired) {
    return expiredIsSkew
      ? new BrokerProblem("ClockSkew", CLOCK_DETAIL, { reason: "expired" })
      : refusedClaim("expired", "The token has expired: send a fresh one.");
  }
  if (error instanceof errors.JWTClaimValidationFailed) return claimProblem(error);
  if (error instanceof errors.JOSEAlgNotAllowed) return unknownCaller("wrong-algorithm");
  if (error instanceof errors.JWKSNoMatchingKey) return unknownCaller("bad-signature");
  if (error instanceof errors.JOSEError) return unknownCaller("malformed-token");
  if (error instanceof IssuerError || error instanceof OutOfTime) {
    return new BrokerProblem(
      "DependencyTimeout",
      "The token's issuer did not give its keys: try again, or put its `jwks` into the broker's configuration.",
      { reason: "issuer-unavailable", cause: error },
    );
  }
  // jose and Web Crypto refuse a key itself with a TypeError or DOMException: too short, or not on its curve.
  return unknownCaller("unusable-key", error);
}

function claimProblem({ claim, reason }: errors.JWTClaimValidationFailed): BrokerProblem {
  if ((claim === "nbf" || claim === "iat") && reason === "check_failed") {
    return new BrokerProblem("ClockSkew", CLOCK_DETAIL, { reason: "clock-skew" });
  }
  // jose's `claim` is one of those asked for, never the token's own text.
  if (reason === "missing") return refusedClaim("missing-claim", `The token has no ${claim} claim.`);
  switch (claim) {
    case "typ":
      return refusedClaim("wrong-type", "The token's typ is not that of its kind.");
    case "iss":
      return refusedClaim("wrong-issuer", "The token's iss is not the registered one.");
    case "sub":
      return refusedClaim("wrong-subject", "The token's sub is not the registered one.");
    case "aud":
      return refusedClaim("wrong-audience", AUDIENCE_DETAIL);
    default:
      return refusedClaim("bad-claim", `The token's ${claim} claim has the wrong form.`);
  }
}
