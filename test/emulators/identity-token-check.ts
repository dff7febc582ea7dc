import { createPublicKey, verify } from "node:crypto";

import * as z from "zod";

/**
 * What the fakes of STS services make of a token of a foreign issuer, as the clouds' documentation has it. By
 * node:crypto and by hand, so that it shares nothing with what signs.
 */

export interface TrustedIssuer {
  /** Compared exactly with `iss`. */
  readonly issuer: string;
  /** Gets the issuer's documents: over the network, or from where a test has them. */
  readonly fetch: (url: string) => Promise<Response>;
  /** How long keys are believed; a `kid` that is not among them is refused until then. 0: always looked up. */
  readonly keepKeysMs?: number;
}

export interface Claims {
  readonly iss: string;
  readonly sub: string;
  readonly aud: readonly string[];
  readonly iat: number;
  readonly exp: number;
}

/** Why a token is refused, in no cloud's words. */
export type Refusal =
  | "malformed"
  | "algorithm"
  | "issuer"
  | "issuer-unreachable"
  | "key"
  | "signature"
  | "expired"
  | "not-yet";

export class RefusedToken extends Error {
  readonly refusal: Refusal;
  readonly claims: Claims | undefined;

  constructor(refusal: Refusal, claims?: Claims) {
    super(refusal);
    this.refusal = refusal;
    this.claims = claims;
  }
}

const Header = z.object({ alg: z.string(), kid: z.string(), typ: z.string().optional() });
const Payload = z.object({
  iss: z.string(),
  sub: z.string().min(1),
  aud: z.union([z.string().transform((one) => [one]), z.array(z.string())]),
  iat: z.number(),
  exp: z.number(),
});
const Discovery = z.object({
  issuer: z.string(),
  jwks_uri: z.url({ protocol: /^https$/ }),
  response_types_supported: z.array(z.string()).min(1),
  subject_types_supported: z.array(z.string()).min(1),
  id_token_signing_alg_values_supported: z.array(z.string()).min(1),
});
const Jwks = z.object({
  keys: z.array(z.object({ kty: z.string(), kid: z.string(), use: z.string(), alg: z.string() }).loose()),
});
type Jwk = z.infer<typeof Jwks>["keys"][number];

/** Clocks may differ this much. */
const SKEW_S = 60;

export interface TokenCheck {
  /** @throws RefusedToken. Audience and subject are the trust policy's to judge. */
  (token: string): Promise<Claims>;
}

/** Checks tokens of one issuer. */
export function tokenCheck(
  trusted: TrustedIssuer,
  algorithms: readonly ("RS256" | "ES256" | "ES384")[],
  now: () => number,
): TokenCheck {
  let kept: { readonly keys: readonly Jwk[]; readonly at: number } | undefined;
  const keys = async (): Promise<readonly Jwk[]> => {
    if (kept === undefined || now() - kept.at >= (trusted.keepKeysMs ?? 0)) {
      kept = { keys: await fetchKeys(trusted), at: now() };
    }
    return kept.keys;
  };

  return async (token) => {
    const [head = "", body = "", signature = "", ...rest] = token.split(".");
    const header = Header.safeParse(decoded(head));
    const payload = Payload.safeParse(decoded(body));
    if (!header.success || !payload.success || rest.length > 0) throw new RefusedToken("malformed");
    const claims = payload.data;
    const { alg, kid } = header.data;
    const algorithm = algorithms.find((name) => name === alg);
    if (algorithm === undefined) throw new RefusedToken("algorithm", claims);
    if (claims.iss !== trusted.issuer) throw new RefusedToken("issuer", claims);
    const jwk = (await keys()).find((key) => key.kid === kid && key.alg === alg && key.use === "sig");
    if (jwk === undefined) throw new RefusedToken("key", claims);
    const key = createPublicKey({ key: jwk, format: "jwk" });
    const signed = Buffer.from(`${head}.${body}`);
    const digest = algorithm === "ES384" ? "sha384" : "sha256";
    const isGood = verify(
      digest,
      signed,
      { key, dsaEncoding: "ieee-p1363" },
      Buffer.from(signature, "base64url"),
    );
    if (!isGood) throw new RefusedToken("signature", claims);
    const seconds = now() / 1000;
    if (claims.exp + SKEW_S <= seconds) throw new RefusedToken("expired", claims);
    if (claims.iat - SKEW_S > seconds) throw new RefusedToken("not-yet", claims);
    return claims;
  };
}

async function fetchKeys({ issuer, fetch }: TrustedIssuer): Promise<readonly Jwk[]> {
  try {
    const get = async (url: string): Promise<unknown> => {
      const response = await fetch(url);
      if (response.status !== 200) throw new RefusedToken("issuer-unreachable");
      return response.json();
    };
    const discovery = Discovery.parse(await get(`${issuer}/.well-known/openid-configuration`));
    if (discovery.issuer !== issuer) throw new RefusedToken("issuer-unreachable");
    return Jwks.parse(await get(discovery.jwks_uri)).keys;
  } catch {
    throw new RefusedToken("issuer-unreachable");
  }
}

function decoded(part: string): unknown {
  try {
    return JSON.parse(Buffer.from(part, "base64url").toString()) as unknown;
  } catch {
    return undefined;
  }
}
