import { makeNodeKey, type NewNodeKey } from "../../src/config/node-key.ts";
import type { Apiserver, Until } from "./apiserver.ts";
import { Broker, type BrokerSettings } from "./broker.ts";
import type { Cluster } from "./cluster.ts";
import { encryptionConfiguration } from "./encryption-configuration.ts";
import { type Kek, type KeyKind, makeKek } from "./kek.ts";
import type { Sandbox } from "./sandbox.ts";
import { Shim, type ShimState } from "./shim.ts";

export const KEK = "prod-secrets";
/** The KMS provider's name in the EncryptionConfiguration, and so in every stored value. */
export const PROVIDER = "kek-broker";
const AUDIENCE = "https://kek.example.com";

/** A node of a control plane: an apiserver beside its shim. */
export interface ControlPlaneNode {
  readonly shim: Shim;
  readonly apiserver: Apiserver;
}

/** Names of clusters with those of their nodes, as the broker is to know them. */
export type Registry = Readonly<Record<string, readonly string[]>>;

/** One broker with one KEK, the nodes that are registered there, and their keys. */
export class Stand {
  readonly broker: Broker;
  readonly #sandbox: Sandbox;
  readonly #kek: Kek;
  readonly #keys: Keys;

  private constructor(sandbox: Sandbox, kek: Kek, keys: Keys, broker: Broker) {
    this.#sandbox = sandbox;
    this.#kek = kek;
    this.#keys = keys;
    this.broker = broker;
  }

  /** Starts what plays the cloud, and the broker. */
  static async start(sandbox: Sandbox, kind: KeyKind, registry: Registry): Promise<Stand> {
    const kek = await makeKek(sandbox, kind);
    const keys = await makeKeys(registry);
    const broker = await Broker.start(sandbox, settingsFor(kek, keys, []), kek.env);
    return new Stand(sandbox, kek, keys, broker);
  }

  /** Starts a registered node's shim, then its apiserver. Plaintext of before stays readable. */
  async addNode(cluster: Cluster, node: string): Promise<ControlPlaneNode> {
    const key = this.#keys.get(cluster.name)?.get(node);
    if (key === undefined) throw new Error(`${cluster.name}/${node} is not registered`);
    return this.#startNode(cluster, node, node, key, "healthy", "ready");
  }

  /** Starts a node that says it is `node` and signs with a key that nobody registered. */
  async addImpostor(cluster: Cluster, node: string): Promise<ControlPlaneNode> {
    const key = await makeNodeKey("ES256");
    return this.#startNode(cluster, `not-${node}`, node, key, "running", "serving");
  }

  /** Revokes these and nobody else, with the broker running. */
  revoke(...subjects: string[]): Promise<void> {
    return this.broker.reconfigure(settingsFor(this.#kek, this.#keys, subjects));
  }

  /** Gives the KEK a new version, with everything running. */
  async rotate(): Promise<void> {
    const before = this.#kek.member;
    await this.#kek.rotate();
    const isInConfiguration = JSON.stringify(this.#kek.member) !== JSON.stringify(before);
    if (isInConfiguration) await this.broker.reconfigure(settingsFor(this.#kek, this.#keys, []));
  }

  /** Ends what does not end with the sandbox. */
  close(): Promise<void> {
    return this.#kek.close();
  }

  async #startNode(
    cluster: Cluster,
    name: string,
    node: string,
    { privateKey }: NewNodeKey,
    shimUntil: ShimState,
    apiserverUntil: Until,
  ): Promise<ControlPlaneNode> {
    const options = {
      sandbox: this.#sandbox,
      name: `${cluster.name}-${name}-shim`,
      kek: KEK,
      cluster: cluster.name,
      node,
      key: privateKey,
      broker: this.broker.url,
      audience: AUDIENCE,
    };
    const shim = await Shim.start(options, shimUntil);
    const encryption = encryptionConfiguration([{ name: PROVIDER, socket: shim.socket }, "identity"]);
    return { shim, apiserver: await cluster.addApiserver(name, encryption, apiserverUntil) };
  }
}

type Keys = ReadonlyMap<string, ReadonlyMap<string, NewNodeKey>>;

async function makeKeys(registry: Registry): Promise<Keys> {
  const keys = new Map<string, Map<string, NewNodeKey>>();
  for (const [cluster, nodes] of Object.entries(registry)) {
    const made = new Map<string, NewNodeKey>();
    for (const node of nodes) made.set(node, await makeNodeKey("ES256"));
    keys.set(cluster, made);
  }
  return keys;
}

type Nodes = NonNullable<NonNullable<BrokerSettings["clusters"]>[string]["nodes"]>;

function settingsFor({ member }: Kek, keys: Keys, revoked: string[]): BrokerSettings {
  const clusters: BrokerSettings["clusters"] = {};
  for (const [cluster, members] of keys) {
    const nodes: Nodes = {};
    for (const [node, { publicKey }] of members) nodes[node] = { jwks: { keys: [publicKey] } };
    const allow = [{ kek: KEK, operations: ["wrap" as const, "unwrap" as const, "status" as const] }];
    clusters[cluster] = { id: cluster, nodes, allow };
  }
  return {
    audience: AUDIENCE,
    allowDevelopmentKeys: true,
    keks: { [KEK]: { members: { only: member } } },
    clusters,
    revoked,
  };
}
