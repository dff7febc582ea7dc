import type { KekStatus } from "../../src/wire/messages.ts";
import type { Use } from "./broker.ts";
import type { CloudFault, CloudKey } from "./cloud-key.ts";
import { Cluster } from "./cluster.ts";
import { until } from "./poll.ts";
import { create, etcdKey, read } from "./resources.ts";
import type { Scene } from "./scene.ts";
import { type ControlPlaneNode, Stand } from "./stand.ts";
import { membersIn, storedSecrets } from "./stored-envelope.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";
import { type CloudName, keysInThreeClouds } from "./three-clouds.ts";

const CLUSTER = "prod-eu-1";
const NODE = "cp-1";
/** A broker remembers what it read for 30 s; a member that was left alone is asked again after 5 s. */
const SEEN_WITHIN_MS = 90_000;

/** What was found once nothing unwrapped was left in any memory. */
export interface Found {
  /** As stored, of a Secret written since. */
  readonly value: StoredValue;
  /** Those that have wrapped what it is encrypted under. */
  readonly members: readonly string[];
  /** Every Secret so far as it reads. */
  readonly texts: ReadonlyMap<string, string>;
  readonly readyAfterMs: number;
  /** In the broker's record since. */
  readonly uses: readonly Use[];
}

/** One cluster under a KEK in three clouds, one of which can be made to fail. */
export class Outage {
  readonly stand: Stand;
  readonly cluster: Cluster;
  readonly node: ControlPlaneNode;
  /** What has been written, by name. */
  readonly texts = new Map<string, string>();
  readonly keys: Readonly<Record<CloudName, CloudKey>>;
  readonly #failing: CloudName;

  private constructor(
    stand: Stand,
    cluster: Cluster,
    node: ControlPlaneNode,
    failing: CloudName,
    keys: Readonly<Record<CloudName, CloudKey>>,
  ) {
    this.stand = stand;
    this.cluster = cluster;
    this.node = node;
    this.#failing = failing;
    this.keys = keys;
  }

  static async prepare({ sandbox, tools, keep }: Scene, failing: CloudName): Promise<Outage> {
    const keys = await keysInThreeClouds(sandbox, failing === "azure" ? 3072 : 2048);
    const stand = await keep(Stand.start({ sandbox, keys, registry: { [CLUSTER]: [NODE] } }));
    const cluster = await Cluster.start(sandbox, tools, CLUSTER);
    return new Outage(stand, cluster, await stand.addNode(cluster, NODE), failing, keys);
  }

  fail(fault: CloudFault): Promise<void> {
    return this.keys[this.#failing].fail(fault);
  }

  /**
   * Mends it, and waits until a wrap has every member: before, it may still be left alone for what it did.
   * @returns milliseconds
   */
  async mend(): Promise<number> {
    await this.keys[this.#failing].mend();
    const began = performance.now();
    await until(
      `${this.#failing} wraps again`,
      async () => {
        const { degraded } = await this.stand.caller(CLUSTER, NODE).wrap(this.stand.broker);
        return degraded === undefined ? true : undefined;
      },
      { withinMs: SEEN_WITHIN_MS, everyMs: 250 },
    );
    return performance.now() - began;
  }

  status(): Promise<KekStatus> {
    return this.stand.caller(CLUSTER, NODE).status(this.stand.broker);
  }

  /** Waits until the broker says this of the KEK's failing member. */
  async statusWith(member: KekStatus["members"][number]["state"]) {
    const began = performance.now();
    const status = await until(
      `${this.#failing} is ${member} in the KEK's status`,
      async () => {
        const status = await this.status();
        const state = status.members.find(({ name }) => name === this.#failing)?.state;
        return state === member ? status : undefined;
      },
      { withinMs: SEEN_WITHIN_MS, everyMs: 250 },
    );
    return { status, afterMs: performance.now() - began };
  }

  /**
   * Restarts shim and apiserver, so that what is stored has to be unwrapped by the broker, and the apiserver has a new
   * seed wrapped; then writes a Secret and reads all.
   */
  async fromColdWrite(name: string): Promise<Found> {
    const { shim, apiserver } = this.node;
    const before = this.stand.broker.uses().length;
    await shim.restart();
    const began = performance.now();
    await apiserver.restart();
    const readyAfterMs = performance.now() - began;
    await this.write(name);
    const texts = await this.readAll();
    const value = decodeStoredValue(
      (await this.cluster.etcd.get(etcdKey("secrets", name))) ?? new Uint8Array(),
    );
    const uses = this.stand.broker.uses().slice(before);
    return { value, members: membersIn(value), texts, readyAfterMs, uses };
  }

  /** As `fromColdWrite`, and again where a member did not wrap in time: a busy machine's emulators may be slow. */
  async fromColdWriteByAll(name: string): Promise<Found> {
    const members = Object.keys(this.keys).length;
    for (let tries = 1; ; tries++) {
      const found = await this.fromColdWrite(`${name}-${tries}`);
      if (found.members.length === members || tries === 3) return found;
    }
  }

  async write(name: string): Promise<void> {
    const text = `written while ${name}`;
    await create(this.node.apiserver.api, "secrets", name, text);
    this.texts.set(name, text);
  }

  /** Every Secret as it reads; throws where one does not. */
  async readAll(): Promise<ReadonlyMap<string, string>> {
    const texts = new Map<string, string>();
    for (const name of this.texts.keys()) {
      texts.set(name, await read(this.node.apiserver.api, "secrets", name));
    }
    return texts;
  }

  /** The key_ids under which etcd has Secrets. */
  async storedKeyIds(): Promise<ReadonlySet<string>> {
    return new Set((await storedSecrets(this.cluster)).map(({ keyId }) => keyId));
  }
}

/** What each member did in these uses, by its name. */
export function memberResults(uses: readonly Use[], operation: "wrap" | "unwrap"): Record<string, string[]> {
  const results: Record<string, string[]> = {};
  for (const { intent, outcome } of uses) {
    if (intent.operation !== operation) continue;
    for (const { name, result } of outcome?.members ?? []) {
      const known = (results[name] ??= []);
      if (!known.includes(result)) known.push(result);
    }
  }
  return results;
}
