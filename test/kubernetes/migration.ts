import { AwsKey } from "./aws-key.ts";
import type { CloudKey, CustodianKey } from "./cloud-key.ts";
import { Cluster } from "./cluster.ts";
import { Canary, type KeyIdSwitch } from "./key-id-switch.ts";
import { read } from "./resources.ts";
import type { Scene } from "./scene.ts";
import { type ControlPlaneNode, type KekPlan, Stand } from "./stand.ts";
import { startMoto } from "../emulators/aws-emulators.ts";
import { membersIn, storedValues } from "./stored-envelope.ts";
import { GoogleKey } from "./google-key.ts";
import { Traffic } from "./traffic.ts";

const CLUSTER = "prod-eu-1";
const NODES = ["cp-1", "cp-2"] as const;
/** Not more than a person would try: something may write an object between kubectl's reading and writing. */
const REWRITE_TRIES = 5;

/** A cluster of two nodes whose KEK starts in AWS, with a key in Google beside it; two brokers. */
export class Migration {
  readonly stand: Stand;
  readonly cluster: Cluster;
  readonly nodes: readonly ControlPlaneNode[];
  /** A key that no member stands for. */
  readonly stranger: CustodianKey;
  readonly #scene: Scene;
  readonly #aws: CloudKey;
  readonly #canaries: readonly Canary[];

  private constructor(
    scene: Scene,
    stand: Stand,
    keys: { readonly aws: CloudKey; readonly stranger: CustodianKey },
    cluster: Cluster,
    nodes: readonly ControlPlaneNode[],
    canaries: readonly Canary[],
  ) {
    this.#scene = scene;
    this.stand = stand;
    this.stranger = keys.stranger;
    this.#aws = keys.aws;
    this.cluster = cluster;
    this.nodes = nodes;
    this.#canaries = canaries;
  }

  static async prepare(scene: Scene, kek: KekPlan): Promise<Migration> {
    const { sandbox, tools, keep } = scene;
    const moto = await startMoto(sandbox);
    const aws = await AwsKey.create(moto);
    const stranger = await keep(AwsKey.create(moto));
    const keys = { aws, gcp: await GoogleKey.create() };
    const registry = { [CLUSTER]: NODES };
    const stand = await keep(Stand.start({ sandbox, keys, kek, registry, brokers: 2 }));
    const cluster = await Cluster.start(sandbox, tools, CLUSTER);
    const nodes = await Promise.all(NODES.map((node) => stand.addNode(cluster, node)));
    const canaries = await Promise.all(nodes.map((node) => Canary.create(cluster, node)));
    return new Migration(scene, stand, { aws, stranger }, cluster, nodes, canaries);
  }

  startTraffic(): Traffic {
    return Traffic.start({
      cluster: this.cluster,
      apiservers: this.nodes.map(({ apiserver }) => apiserver),
      brokers: this.stand.brokers,
      caller: this.stand.caller(CLUSTER, NODES[0]),
    });
  }

  /** What the shims show; throws unless they agree. */
  async keyId(): Promise<string> {
    const shown = await Promise.all(this.nodes.map(({ shim }) => shim.status()));
    const [keyId, ...others] = new Set(shown.map((status) => status.keyId));
    if (keyId === undefined || others.length > 0) throw new Error(`the shims show ${JSON.stringify(shown)}`);
    return keyId;
  }

  /** Brings the plan to the brokers and waits until every shim shows, and every apiserver stores under, its key_id. */
  async moveAndSwitch(plan: KekPlan): Promise<readonly KeyIdSwitch[]> {
    const before = await this.keyId();
    await this.stand.move(plan);
    return Promise.all(this.#canaries.map((canary) => canary.switchedFrom(before)));
  }

  /** As the platform team's page has it. @returns how many objects there were, and milliseconds */
  async rewriteEverything(): Promise<{ objects: number; tookMs: number }> {
    const kubectl = this.nodes[0]?.apiserver.kubectl;
    if (kubectl === undefined) throw new Error("there is no node");
    const began = performance.now();
    for (let tries = 1; ; tries++) {
      const all = await kubectl.ok(["get", "secrets,configmaps", "-A", "-o", "json"]);
      const { code, stdout, stderr } = await kubectl.run(["replace", "-f", "-"], all);
      const objects = stdout.trim().split("\n").length;
      if (code === 0) return { objects, tookMs: performance.now() - began };
      if (tries === REWRITE_TRIES) throw new Error(`kubectl replace ended with ${code}: ${stderr}`);
    }
  }

  /** Which members wrapped what lies in etcd, and how much of it: `aws, gcp` → 12. */
  async envelopes(): Promise<Record<string, number>> {
    const counts: Record<string, number> = {};
    for (const value of await storedValues(this.cluster)) {
      const members = membersIn(value).join(", ");
      counts[members] = (counts[members] ?? 0) + 1;
    }
    return counts;
  }

  /** For good: its process ends, and nobody listens where the brokers were sent. */
  async stopAws(): Promise<void> {
    await this.#aws.fail("refused");
    await this.#scene.sandbox.stop("moto");
  }

  /** Nothing unwrapped is left in any memory of this node. */
  async restartNode(index: number): Promise<void> {
    const node = this.nodes[index];
    if (node === undefined) throw new Error(`there is no node ${index}`);
    await node.shim.restart();
    await node.apiserver.restart();
  }

  /** Everything there is, from brokers on. */
  async restartAll(): Promise<void> {
    for (const broker of this.stand.brokers) await broker.restart();
    await Promise.all(this.nodes.map((_, index) => this.restartNode(index)));
  }

  /** Reads each Secret by name at this node; throws if one is missing, unreadable or another. */
  async readAll(index: number, texts: ReadonlyMap<string, string>): Promise<number> {
    const api = this.nodes[index]?.apiserver.api;
    if (api === undefined) throw new Error(`there is no node ${index}`);
    for (const [name, text] of texts) {
      const found = await read(api, "secrets", name);
      if (found !== text) throw new Error(`${name} reads ${JSON.stringify(found)}`);
    }
    return texts.size;
  }
}
