import { calculateJwkThumbprint } from "jose";
import * as z from "zod";

import type { NODE_ASSERTION_ALGORITHMS } from "../wire/node-assertion.ts";
import { NodeJwk } from "./node-jwk.ts";

export type NodeKeyAlgorithm = (typeof NODE_ASSERTION_ALGORITHMS)[number];

/** A node's new key, both halves as JWK (RFC 7517) with the key's RFC 7638 thumbprint as `kid`. */
export interface NewNodeKey {
  /** What the file named by the shim's `identity.nodeKey` holds. */
  readonly privateKey: PublicJwk & { readonly d: string };
  /** What the broker's configuration holds. */
  readonly publicKey: PublicJwk;
}

type PublicJwk = NodeJwk & { readonly kid: string };

/** Makes the key pair that a node signs its requests with. */
export async function makeNodeKey(alg: NodeKeyAlgorithm): Promise<NewNodeKey> {
  const algorithm = alg === "ES256" ? { name: "ECDSA", namedCurve: "P-256" } : { name: "Ed25519" };
  const pair = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  if (!("privateKey" in pair)) throw new TypeError("a key pair was asked for");
  const { kty, crv, x, y, d } = await crypto.subtle.exportKey("jwk", pair.privateKey);
  const key = NodeJwk.parse(alg === "ES256" ? { kty, crv, x, y } : { kty, crv, x });
  const bare =
    key.kty === "EC"
      ? { kty: key.kty, crv: key.crv, x: key.x, y: key.y }
      : { kty: key.kty, crv: key.crv, x: key.x };
  const kid = await calculateJwkThumbprint(bare);
  const publicKey = { ...NodeJwk.parse({ ...bare, kid, alg }), kid };
  return { publicKey, privateKey: { ...publicKey, d: z.string().parse(d) } };
}
