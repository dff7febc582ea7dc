import { exportJWK, generateKeyPair, type JWK } from "jose";
import { randomBytes } from "node:crypto";

/** A node and its private key. */
export interface NodeIdentity {
  readonly cluster: string;
  readonly node: string;
  readonly key: JWK & { alg: "ES256" | "EdDSA" };
}

/** A broker configuration with every kind of caller the suite plays. */
export interface Fixture {
  readonly audience: string;
  /** JSON, which is YAML. */
  readonly config: string;
  readonly nodes: {
    /** May do everything with `prod-secrets`. */
    readonly primary: NodeIdentity;
    /** The same rights, another cluster, an Ed25519 key. */
    readonly otherCluster: NodeIdentity;
    /** Only `status`. */
    readonly reader: NodeIdentity;
    readonly revoked: NodeIdentity;
    /** Its registration ended in 2020. */
    readonly expired: NodeIdentity;
    /** In no configuration. */
    readonly stranger: NodeIdentity;
  };
}

export const KEK = "prod-secrets";
export const AUDIENCE = "https://kek.conformance.test";

async function makeNode(cluster: string, node: string, alg: "ES256" | "EdDSA"): Promise<NodeIdentity> {
  const options = alg === "EdDSA" ? { crv: "Ed25519", extractable: true } : { extractable: true };
  const { privateKey } = await generateKeyPair(alg, options);
  return { cluster, node, key: { ...(await exportJWK(privateKey)), alg } };
}

function publicJwk({ key }: NodeIdentity): JWK {
  const { d: _, ...rest } = key;
  return rest;
}

/** Makes fresh keys and the configuration that knows them. */
export async function makeFixture(overrides: Record<string, unknown> = {}): Promise<Fixture> {
  const primary = await makeNode("prod-eu-1", "cp-1", "ES256");
  const otherCluster = await makeNode("prod-us-1", "cp-1", "EdDSA");
  const reader = await makeNode("readers", "cp-1", "ES256");
  const revoked = await makeNode("prod-eu-1", "cp-2", "ES256");
  const expired = await makeNode("prod-eu-1", "cp-3", "ES256");
  const stranger = await makeNode("prod-eu-1", "cp-9", "ES256");
  const entry = (node: NodeIdentity, more = {}) => ({ jwks: { keys: [publicJwk(node)] }, ...more });
  const all = ["wrap", "unwrap", "status"];
  const config = {
    audience: AUDIENCE,
    allowDevelopmentKeys: true,
    rateLimit: {
      principal: { perSecond: 10_000, burst: 10_000 },
      cluster: { perSecond: 10_000, burst: 10_000 },
    },
    keks: {
      [KEK]: {
        members: {
          dev: {
            local: { keys: [{ version: "v1", key: randomBytes(32).toString("base64") }], primary: "v1" },
          },
        },
      },
    },
    clusters: {
      "prod-eu-1": {
        id: "prod-eu-1",
        nodes: {
          "cp-1": entry(primary),
          "cp-2": entry(revoked),
          "cp-3": entry(expired, { notAfter: "2020-01-01" }),
        },
        allow: [{ kek: KEK, operations: all }],
      },
      "prod-us-1": {
        id: "prod-us-1",
        nodes: { "cp-1": entry(otherCluster) },
        allow: [{ kek: KEK, operations: all }],
      },
      readers: {
        id: "readers",
        nodes: { "cp-1": entry(reader) },
        allow: [{ kek: KEK, operations: ["status"] }],
      },
    },
    revoked: ["prod-eu-1/cp-2"],
    ...overrides,
  };
  return {
    audience: AUDIENCE,
    config: JSON.stringify(config),
    nodes: { primary, otherCluster, reader, revoked, expired, stranger },
  };
}
