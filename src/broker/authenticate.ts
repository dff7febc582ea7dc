import { decodeJwt, decodeProtectedHeader, type JWTPayload } from "jose";

import type { Primitives } from "../envelope/primitives.ts";
import { MAX_TOKEN_LENGTH } from "../wire/limits.ts";
import { NODE_ASSERTION_TYPE } from "../wire/node-assertion.ts";
import type { IssuerKeys } from "./jwks.ts";
import { verifyNodeAssertion } from "./node-assertion.ts";
import { verifyOidcToken } from "./oidc-token.ts";
import type { Principal } from "./principal.ts";
import { BrokerProblem } from "./problem.ts";
import type { AuthenticationReason } from "./reason.ts";
import type { RequestContext } from "./request-context.ts";

const BEARER = /^Bearer +([A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+)$/i;

/** What a request shows for itself. */
export interface Presented {
  readonly token: PresentedToken;
  readonly method: string;
  /** The request target as sent, percent signs and all, without its query. */
  readonly path: string;
  readonly body: Uint8Array<ArrayBuffer>;
}

/** A token that has the form of one. Nothing in it is proven yet. */
export interface PresentedToken {
  readonly text: string;
  /** Media type as in the header, lower case, without `application/`; undefined if absent. */
  readonly type: string | undefined;
  readonly algorithm: string;
  readonly claims: JWTPayload;
}

export interface AuthenticationDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly issuerKeys: IssuerKeys;
  readonly primitives: Primitives;
}

/**
 * Reads the one bearer token of a request, before anything is spent on it.
 * @throws BrokerProblem `AuthenticationFailed`.
 */
export function readToken(authorization: string | undefined): PresentedToken {
  if (authorization === undefined) {
    throw unauthenticated("no-credentials", "Send one Authorization header: Bearer and a token.");
  }
  if (authorization.length > MAX_TOKEN_LENGTH) {
    throw unauthenticated("oversized-token", `The token is over ${MAX_TOKEN_LENGTH} characters.`);
  }
  // Two headers arrive as one, joined by a comma, which no token holds.
  const text = BEARER.exec(authorization)?.[1];
  if (text === undefined) throw malformed();
  const { typ, alg, crit } = peek(() => decodeProtectedHeader(text));
  if (crit !== undefined) {
    throw unauthenticated(
      "critical-header",
      "The token has critical extensions (crit), which are not known here.",
    );
  }
  if (typeof alg !== "string") throw malformed();
  const type = typeof typ === "string" ? typ.toLowerCase().replace(/^application\//, "") : undefined;
  if (typ !== undefined && type === undefined) throw malformed();
  return { text, type, algorithm: alg, claims: peek(() => decodeJwt(text)) };
}

/**
 * Proves who sent a request. The token's own claims choose only whose keys are tried.
 * @throws BrokerProblem `AuthenticationFailed`, `ClockSkew`, or `DependencyTimeout` when an issuer's keys cannot be
 *   had.
 */
export async function authenticate(
  presented: Presented,
  context: RequestContext,
  deps: AuthenticationDeps,
): Promise<Principal> {
  return presented.token.type === NODE_ASSERTION_TYPE
    ? verifyNodeAssertion(presented, context.state, deps)
    : verifyOidcToken(presented.token, context, deps);
}

function peek<T>(decode: () => T): T {
  try {
    return decode();
  } catch {
    throw malformed();
  }
}

function malformed(): BrokerProblem {
  return unauthenticated("malformed-token", "Send one Authorization header: Bearer and a signed JWT.");
}

function unauthenticated(reason: AuthenticationReason, detail: string): BrokerProblem {
  return new BrokerProblem("AuthenticationFailed", detail, { reason });
}
