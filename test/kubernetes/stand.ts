import { makeNodeKey, type NewNodeKey } from "../../src/config/node-key.ts";
import type { Apiserver, Until } from "./apiserver.ts";
import { Broker, type BrokerSettings } from "./broker.ts";
import { BrokerCaller } from "./broker-caller.ts";
import type { CustodianKey, MemberInput } from "./cloud-key.ts";
import type { Cluster } from "./cluster.ts";
import { encryptionConfiguration } from "./encryption-configuration.ts";
import type { Outcome } from "./run.ts";
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

/** Names of clusters with those of their nodes, as the brokers are to know them. */
type Registry = Readonly<Record<string, readonly string[]>>;

/** Which of the stand's keys the KEK has as members, and what for. */
export interface KekPlan {
  readonly members: Readonly<Record<string, "both" | "unwrap">>;
  readonly epoch: number;
  readonly wrapQuorum?: number;
}

export interface StandOptions {
  readonly sandbox: Sandbox;
  /** By the names that members get. The stand closes them. */
  readonly keys: Readonly<Record<string, CustodianKey>>;
  /** What the KEK begins with; by default all keys wrap, in epoch 0. */
  readonly kek?: KekPlan;
  readonly registry: Registry;
  /** How many brokers, all in each shim's list. */
  readonly brokers?: number;
}

/** Brokers with one KEK, the nodes that are registered there, and their keys. */
export class Stand {
  readonly brokers: readonly Broker[];
  readonly #options: StandOptions;
  readonly #nodeKeys: NodeKeys;
  #plan: KekPlan;

  private constructor(options: StandOptions, nodeKeys: NodeKeys, plan: KekPlan, brokers: Broker[]) {
    this.#options = options;
    this.#nodeKeys = nodeKeys;
    this.#plan = plan;
    this.brokers = brokers;
  }

  static async start(options: StandOptions): Promise<Stand> {
    const { sandbox, keys, registry, brokers = 1 } = options;
    const nodeKeys = await makeKeys(registry);
    const plan = options.kek ?? { members: allWrap(keys), epoch: 0 };
    const settings = settingsFor(keys, plan, nodeKeys, []);
    const env = Object.assign({}, ...Object.values(keys).map((key) => key.env));
    const started = Array.from({ length: brokers }, (_, index) =>
      Broker.start(sandbox, `broker-${index + 1}`, settings, env),
    );
    return new Stand(options, nodeKeys, plan, await Promise.all(started));
  }

  /** The first broker, which is the only one where no other number was asked for. */
  get broker(): Broker {
    const [first] = this.brokers;
    if (first === undefined) throw new Error("this stand has no broker");
    return first;
  }

  /** Starts a registered node's shim, then its apiserver. Plaintext of before stays readable. */
  async addNode(cluster: Cluster, node: string): Promise<ControlPlaneNode> {
    return this.#startNode(cluster, node, node, this.#nodeKey(cluster.name, node), "healthy", "ready");
  }

  /** Starts a node that says it is `node` and signs with a key that nobody registered. */
  async addImpostor(cluster: Cluster, node: string): Promise<ControlPlaneNode> {
    const key = await makeNodeKey("ES256");
    return this.#startNode(cluster, `not-${node}`, node, key, "running", "serving");
  }

  /** What this node asks brokers itself, past its shim. */
  caller(cluster: string, node: string): BrokerCaller {
    const key = { ...this.#nodeKey(cluster, node).privateKey, alg: "ES256" as const };
    return new BrokerCaller({ cluster, node, key }, AUDIENCE, KEK);
  }

  /** Revokes these and nobody else, with the brokers running. */
  revoke(...subjects: string[]): Promise<void> {
    return this.#reconfigure(this.#settings(this.#plan, subjects));
  }

  /** What `kekctl config check` says to this plan as the next one. `repointed` stands for another's key in it. */
  check(plan: KekPlan, repointed: Readonly<Record<string, MemberInput>> = {}): Promise<Outcome> {
    return this.broker.check(this.#settings(plan, [], repointed));
  }

  /**
   * Brings the KEK's next plan to one running broker after the other, each only after `kekctl config check`.
   * @returns what that said
   */
  async move(plan: KekPlan): Promise<string> {
    const { code, stdout, stderr } = await this.check(plan);
    if (code !== 0) throw new Error(`kekctl config check refused this: ${stdout}${stderr}`);
    await this.#reconfigure(this.#settings(plan, []));
    this.#plan = plan;
    return stdout;
  }

  /** Gives this member's key a new version, with everything running. */
  async rotate(member: string): Promise<void> {
    const key = this.#options.keys[member];
    if (key === undefined) throw new Error(`no key is called ${member}`);
    const before = JSON.stringify(key.member);
    await key.rotate();
    const isInConfiguration = JSON.stringify(key.member) !== before;
    if (isInConfiguration) await this.#reconfigure(this.#settings(this.#plan, []));
  }

  /** Ends what does not end with the sandbox. */
  async close(): Promise<void> {
    await Promise.all(Object.values(this.#options.keys).map((key) => key.close()));
  }

  async #reconfigure(settings: BrokerSettings): Promise<void> {
    for (const broker of this.brokers) await broker.reconfigure(settings);
  }

  #settings(plan: KekPlan, revoked: string[], repointed?: Readonly<Record<string, MemberInput>>) {
    return settingsFor(this.#options.keys, plan, this.#nodeKeys, revoked, repointed);
  }

  #nodeKey(cluster: string, node: string): NewNodeKey {
    const key = this.#nodeKeys.get(cluster)?.get(node);
    if (key === undefined) throw new Error(`${cluster}/${node} is not registered`);
    return key;
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
      sandbox: this.#options.sandbox,
      name: `${cluster.name}-${name}-shim`,
      kek: KEK,
      cluster: cluster.name,
      node,
      key: privateKey,
      brokers: this.brokers.map(({ url }) => url),
      audience: AUDIENCE,
    };
    const shim = await Shim.start(options, shimUntil);
    const encryption = encryptionConfiguration([{ name: PROVIDER, socket: shim.socket }, "identity"]);
    return { shim, apiserver: await cluster.addApiserver(name, encryption, apiserverUntil) };
  }
}

type NodeKeys = ReadonlyMap<string, ReadonlyMap<string, NewNodeKey>>;

async function makeKeys(registry: Registry): Promise<NodeKeys> {
  const keys = new Map<string, Map<string, NewNodeKey>>();
  for (const [cluster, nodes] of Object.entries(registry)) {
    const made = new Map<string, NewNodeKey>();
    for (const node of nodes) made.set(node, await makeNodeKey("ES256"));
    keys.set(cluster, made);
  }
  return keys;
}

function allWrap(keys: StandOptions["keys"]): KekPlan["members"] {
  return Object.fromEntries(Object.keys(keys).map((name) => [name, "both"]));
}

type Nodes = NonNullable<NonNullable<BrokerSettings["clusters"]>[string]["nodes"]>;

function settingsFor(
  keys: StandOptions["keys"],
  { members, ...plan }: KekPlan,
  nodeKeys: NodeKeys,
  revoked: string[],
  repointed: Readonly<Record<string, MemberInput>> = {},
): BrokerSettings {
  const clusters: BrokerSettings["clusters"] = {};
  for (const [cluster, registered] of nodeKeys) {
    const nodes: Nodes = {};
    for (const [node, { publicKey }] of registered) nodes[node] = { jwks: { keys: [publicKey] } };
    const allow = [{ kek: KEK, operations: ["wrap" as const, "unwrap" as const, "status" as const] }];
    clusters[cluster] = { id: cluster, nodes, allow };
  }
  const configured: Record<string, MemberInput> = {};
  for (const [name, use] of Object.entries(members)) {
    const member = repointed[name] ?? keys[name]?.member;
    if (member === undefined) throw new Error(`no key is called ${name}`);
    configured[name] = { ...member, use };
  }
  const identity = Object.keys(members).flatMap((name) => keys[name]?.identity ?? [])[0];
  return {
    audience: AUDIENCE,
    allowDevelopmentKeys: true,
    ...(identity !== undefined && { identity }),
    keks: { [KEK]: { members: configured, ...plan } },
    clusters,
    revoked,
  };
}
