import * as z from "zod";

import type { Primitives } from "../envelope/primitives.ts";
import { encodeBase64Url } from "../wire/base64.ts";
import { NODE_ASSERTION_MAX_AGE_S } from "../wire/node-assertion.ts";
import type { AuthenticationDeps, Presented } from "./authenticate.ts";
import type { Principal } from "./principal.ts";
import type { NodeKey, NodePrincipal } from "./principals.ts";
import type { BrokerState } from "./state.ts";
import { refusedClaim, unknownCaller, verifyToken, type TokenRules } from "./verify-token.ts";

const REQUIRED = ["iss", "sub", "aud", "iat", "exp", "jti", "htm", "htu", "bh"];

/** What the registered claims' own checks leave: they have been proven present. */
const RequestClaims = z.object({
  jti: z.string().min(1).max(128),
  htm: z.string(),
  htu: z.string(),
  bh: z.string(),
});

/**
 * A node's assertion over this very request. Tried are only the keys registered for the node that the token names,
 * at most two, so that one of them both proves the signature and belongs to that node.
 * @throws BrokerProblem `AuthenticationFailed` or `ClockSkew`.
 */
export async function verifyNodeAssertion(
  presented: Presented,
  { principals, config }: BrokerState,
  deps: Pick<AuthenticationDeps, "now" | "primitives">,
): Promise<Principal> {
  const { iss } = presented.token.claims;
  const node = typeof iss === "string" ? principals.nodes.get(iss) : undefined;
  if (iss === undefined || node === undefined) throw unknownCaller("unknown-principal");
  const rules: TokenRules = {
    issuer: iss,
    subject: iss,
    audience: config.audience,
    algorithms: [presented.token.algorithm],
    requiredClaims: REQUIRED,
    maxLifetime: NODE_ASSERTION_MAX_AGE_S,
    expiredIsSkew: true,
  };
  const now = deps.now();
  const { claims, key } = await verifyByOne(presented.token.text, node, rules, now);
  await requireThisRequest(claims, presented, deps.primitives);
  if (node.notAfter !== undefined && now >= node.notAfter) {
    throw refusedClaim(
      "registration-ended",
      "This node's registration has ended (`notAfter`): register a new key.",
    );
  }
  return {
    kind: "node",
    id: `node ${iss}`,
    cluster: node.cluster,
    subject: iss,
    authority: await key.thumbprint(),
  };
}

async function verifyByOne(
  token: string,
  { keys }: NodePrincipal,
  rules: TokenRules,
  now: number,
): Promise<{ claims: unknown; key: NodeKey }> {
  const fitting = keys.filter(({ algorithm }) => rules.algorithms.includes(algorithm));
  if (fitting.length === 0) throw unknownCaller("wrong-algorithm");
  for (const key of fitting) {
    const claims = await verifyToken(token, await importedKey(key), rules, now);
    if (claims !== undefined) return { claims, key };
  }
  throw unknownCaller("bad-signature");
}

async function importedKey({ key }: NodeKey) {
  try {
    return await key();
  } catch (cause) {
    throw unknownCaller("unusable-key", cause);
  }
}

async function requireThisRequest(
  claims: unknown,
  { method, path, body }: Presented,
  primitives: Primitives,
): Promise<void> {
  const parsed = RequestClaims.safeParse(claims);
  if (!parsed.success) {
    throw refusedClaim(
      "bad-claim",
      "The token's jti (1 to 128 characters), htm, htu and bh must be strings.",
    );
  }
  const { htm, htu, bh } = parsed.data;
  if (htm !== method) throw refusedClaim("wrong-method", "The token's htm is not this request's method.");
  if (htu !== path) throw refusedClaim("wrong-path", "The token's htu is not this request's path, as sent.");
  if (bh !== encodeBase64Url(await primitives.sha256(body))) {
    throw refusedClaim("wrong-body", "The token's bh is not the base64url SHA-256 of this request's body.");
  }
}
