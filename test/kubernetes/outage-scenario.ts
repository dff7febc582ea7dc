import { expect } from "vitest";

import type { KekStatus } from "../../src/wire/messages.ts";
import { MAX_KUBERNETES_CIPHERTEXT_BYTES } from "../../src/wire/limits.ts";
import type { Use } from "./broker.ts";
import { CLOUD_FAULTS, type CloudFault, type CloudKey } from "./cloud-key.ts";
import { Cluster } from "./cluster.ts";
import { until } from "./poll.ts";
import { create, etcdKey, read } from "./resources.ts";
import type { Scene } from "./scene.ts";
import { type ControlPlaneNode, PROVIDER, Stand } from "./stand.ts";
import { membersIn, storedSecrets } from "./stored-envelope.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";
import { CLOUDS, type CloudName, keysInThreeClouds } from "./three-clouds.ts";

const CLUSTER = "prod-eu-1";
/** A broker remembers what it read for 30 s; a member that was left alone is asked again after 5 s. */
const SEEN_WITHIN_MS = 90_000;

/** A KEK in three clouds, one of which fails in each way there is. */
export async function oneCloudFails(scene: Scene, failing: CloudName): Promise<void> {
  const { sandbox, tools, tell } = scene;
  const keys = await keysInThreeClouds(sandbox);
  const stand = await scene.keep(Stand.start({ sandbox, keys, registry: { [CLUSTER]: ["cp-1"] } }));
  const cluster = await Cluster.start(sandbox, tools, CLUSTER);
  const node = await stand.addNode(cluster, "cp-1");
  const outage = new Outage(stand, cluster, node, failing, tell);

  await outage.whileAllIsWell();
  for (const fault of CLOUD_FAULTS) await outage.during(fault, keys[failing]);
  await outage.afterwards();
}

class Outage {
  readonly #stand: Stand;
  readonly #cluster: Cluster;
  readonly #node: ControlPlaneNode;
  readonly #failing: CloudName;
  readonly #others: readonly CloudName[];
  readonly #tell: (line: string) => void;
  readonly #written: string[] = [];
  #keyId = "";

  constructor(
    stand: Stand,
    cluster: Cluster,
    node: ControlPlaneNode,
    failing: CloudName,
    tell: (line: string) => void,
  ) {
    this.#stand = stand;
    this.#cluster = cluster;
    this.#node = node;
    this.#failing = failing;
    this.#others = CLOUDS.filter((name) => name !== failing);
    this.#tell = tell;
  }

  async whileAllIsWell(): Promise<void> {
    const { keyId, state, maxCiphertext } = await this.#status();
    expect(state).toBe("ACTIVE");
    this.#keyId = keyId ?? "";
    const value = await this.#write("well");
    expect(value.provider).toBe(PROVIDER);
    expect(membersIn(value)).toEqual(CLOUDS);
    const size = value.encryptedDekSource.length;
    expect(size).toBeLessThanOrEqual(maxCiphertext);
    expect(maxCiphertext).toBeLessThanOrEqual(MAX_KUBERNETES_CIPHERTEXT_BYTES);
    await this.#node.apiserver.restart();
    await this.#readAll();
    this.#tell(
      `all well: ACTIVE, key_id ${this.#keyId}, envelope ${size} B (at most ${maxCiphertext}) by ${membersIn(value).join(", ")}`,
    );
  }

  async during(fault: CloudFault, key: CloudKey): Promise<void> {
    await key.fail(fault);
    if (fault === CLOUD_FAULTS[0]) await this.#seen("DEGRADED", "unavailable");
    const before = this.#stand.broker.uses().length;
    // Nothing unwrapped is left in any memory, and a starting apiserver has a new seed wrapped.
    await this.#node.shim.restart();
    const began = performance.now();
    await this.#node.apiserver.restart();
    const ready = performance.now() - began;
    await this.#readAll();
    const value = await this.#write(fault);
    expect(membersIn(value)).toEqual(this.#others);
    if (fault === "disabled") await this.#seen("DEGRADED", "disabled");
    await this.#expectSameKeyId();

    const uses = this.#stand.broker.uses().slice(before);
    const [wraps, unwraps] = (["wrap", "unwrap"] as const).map((operation) => this.#results(uses, operation));
    this.#tell(
      `${fault}: apiserver ready after ${(ready / 1000).toFixed(1)} s, all ${this.#written.length} Secrets read and written, envelope ${value.encryptedDekSource.length} B by ${membersIn(value).join(", ")}; ` +
        `in the record wraps ${wraps}, unwraps ${unwraps}`,
    );
    await key.mend();
    await this.#wrapsWithAll();
  }

  async afterwards(): Promise<void> {
    await this.#seen("ACTIVE", "available");
    await this.#node.apiserver.restart();
    const value = await this.#write("again");
    expect(membersIn(value)).toEqual(CLOUDS);
    await this.#readAll();
    const ids = (await storedSecrets(this.#cluster)).map(({ keyId }) => keyId);
    expect([...new Set(ids)]).toEqual([this.#keyId]);
    this.#tell(
      `mended: by ${membersIn(value).join(", ")} again; ${ids.length} Secrets, all under ${this.#keyId}`,
    );
  }

  #status(): Promise<KekStatus> {
    return this.#stand.caller(CLUSTER, "cp-1").status(this.#stand.broker);
  }

  async #seen(state: KekStatus["state"], member: KekStatus["members"][number]["state"]): Promise<void> {
    const began = performance.now();
    const status = await until(
      `status ${state}, ${this.#failing} ${member}`,
      async () => {
        const status = await this.#status();
        const is = status.members.find(({ name }) => name === this.#failing)?.state;
        return status.state === state && is === member ? status : undefined;
      },
      { withinMs: SEEN_WITHIN_MS, everyMs: 250 },
    );
    const seconds = ((performance.now() - began) / 1000).toFixed(1);
    const members = status.members.map(({ name, state }) => `${name} ${state}`).join(", ");
    expect(status.keyId).toBe(this.#keyId);
    this.#tell(
      `GET /v1/keks/${status.name} after ${seconds} s: ${status.state}, ${members}, keyId unchanged`,
    );
  }

  /** Else the next fault would meet a member that is still left alone for the last one. */
  async #wrapsWithAll(): Promise<void> {
    const began = performance.now();
    await until(
      `${this.#failing} wraps again`,
      async () => {
        const { degraded } = await this.#stand.caller(CLUSTER, "cp-1").wrap(this.#stand.broker);
        return degraded === undefined ? true : undefined;
      },
      { withinMs: SEEN_WITHIN_MS, everyMs: 250 },
    );
    this.#tell(`mended: wraps by all after ${((performance.now() - began) / 1000).toFixed(1)} s`);
  }

  async #write(name: string): Promise<StoredValue> {
    const { api } = this.#node.apiserver;
    await create(api, "secrets", name, textOf(name));
    this.#written.push(name);
    expect(await read(api, "secrets", name)).toBe(textOf(name));
    const raw = await this.#cluster.etcd.get(etcdKey("secrets", name));
    expect(raw?.includes(textOf(name))).toBe(false);
    return decodeStoredValue(raw ?? new Uint8Array());
  }

  async #readAll(): Promise<void> {
    for (const name of this.#written) {
      expect(await read(this.#node.apiserver.api, "secrets", name)).toBe(textOf(name));
    }
  }

  async #expectSameKeyId(): Promise<void> {
    expect(await this.#node.shim.status()).toEqual({ version: "v2", healthz: "ok", keyId: this.#keyId });
  }

  /** What members did in these uses: `aws ok, gcp Timeout`, each once. Every use came to a good end. */
  #results(uses: readonly Use[], operation: "wrap" | "unwrap"): string {
    const of = uses.filter(({ intent }) => intent.operation === operation);
    expect(of.length).toBeGreaterThan(0);
    expect(of.filter(({ outcome }) => outcome?.result !== "ok")).toEqual([]);
    const members = of.flatMap(({ outcome }) => outcome?.members ?? []);
    const failed = members.filter(({ name }) => name === this.#failing);
    expect(failed.filter(({ result }) => result === "ok")).toEqual([]);
    expect(members.filter(({ name, result }) => name !== this.#failing && result !== "ok")).toEqual([]);
    if (operation === "wrap") expect(failed.length).toBe(of.length);
    return [...new Set(members.map(({ name, result }) => `${name} ${result}`))].toSorted().join(", ");
  }
}

function textOf(name: string): string {
  return `written while ${name}`;
}
