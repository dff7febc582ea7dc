import { calculateJwkThumbprint, createLocalJWKSet, importJWK, type CryptoKey, type JWK } from "jose";

import type { BrokerConfig, NodeJwk } from "../config/schema.ts";
import type { FindKey } from "./jwks.ts";
import type { NODE_ASSERTION_ALGORITHMS } from "../wire/node-assertion.ts";

/** Everybody the configuration knows, found by what a token claims. */
export interface PrincipalIndex {
  /** By `<cluster>/<node>`. */
  readonly nodes: ReadonlyMap<string, NodePrincipal>;
  /** By issuer, then by subject. */
  readonly identities: ReadonlyMap<string, ReadonlyMap<string, OidcPrincipal>>;
}

export interface NodePrincipal {
  readonly cluster: string;
  readonly keys: readonly NodeKey[];
  /** Milliseconds since the epoch. */
  readonly notAfter: number | undefined;
}

export interface NodeKey {
  readonly algorithm: (typeof NODE_ASSERTION_ALGORITHMS)[number];
  /** RFC 7638, base64url SHA-256. */
  readonly thumbprint: () => Promise<string>;
  readonly key: () => Promise<CryptoKey>;
}

interface OidcPrincipal {
  readonly cluster: string;
  /** Keys given in the configuration; without them the issuer's published ones are fetched. */
  readonly jwks: FindKey | undefined;
  /** Private addresses the issuer's host may have. */
  readonly privateAddresses: readonly string[];
}

export function indexPrincipals(config: BrokerConfig): PrincipalIndex {
  const nodes = new Map<string, NodePrincipal>();
  const identities = new Map<string, Map<string, OidcPrincipal>>();
  for (const [cluster, entry] of Object.entries(config.clusters)) {
    for (const [node, { jwks, notAfter }] of Object.entries(entry.nodes)) {
      nodes.set(`${cluster}/${node}`, { cluster, notAfter, keys: jwks.keys.map(nodeKey) });
    }
    for (const { oidc } of entry.identities) {
      const subjects = identities.get(oidc.issuer) ?? new Map<string, OidcPrincipal>();
      identities.set(oidc.issuer, subjects);
      subjects.set(oidc.subject, {
        cluster,
        jwks: oidc.jwks === undefined ? undefined : createLocalJWKSet({ keys: oidc.jwks.keys }),
        privateAddresses: oidc.privateAddresses,
      });
    }
  }
  return { nodes, identities };
}

function nodeKey(jwk: NodeJwk): NodeKey {
  const algorithm = jwk.kty === "EC" ? "ES256" : "EdDSA";
  // Only what makes the key: `alg`, `use` and `kid` have been checked and play no part.
  const bare: JWK =
    jwk.kty === "EC"
      ? { kty: jwk.kty, crv: jwk.crv, x: jwk.x, y: jwk.y }
      : { kty: jwk.kty, crv: jwk.crv, x: jwk.x };
  return {
    algorithm,
    thumbprint: once(() => calculateJwkThumbprint(bare)),
    key: once(() => importPublicKey(bare, algorithm)),
  };
}

async function importPublicKey(jwk: JWK, algorithm: string): Promise<CryptoKey> {
  const key = await importJWK(jwk, algorithm);
  if (key instanceof Uint8Array) throw new TypeError("a symmetric key is nobody's public key");
  return key;
}

function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => (made ??= make());
}
