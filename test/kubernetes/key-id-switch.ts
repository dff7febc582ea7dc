import type { Cluster } from "./cluster.ts";
import { until } from "./poll.ts";
import { create, etcdKey, read, rewrite } from "./resources.ts";
import type { ControlPlaneNode } from "./stand.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";

/** Two polls of the shim 40 s apart, what the broker remembers, and the apiserver's next Status: 110 s at most, and slack. */
export const SWITCHED_WITHIN_MS = 240_000;

/** A node's way from one key_id to the next. */
export interface KeyIdSwitch {
  readonly keyId: string;
  /** When the shim's Status showed it, from when waiting began. */
  readonly inStatusAfterMs: number;
  /** When the apiserver stored under it. */
  readonly inEtcdAfterMs: number;
  /** What it stored. */
  readonly value: StoredValue;
}

const TEXT = "written again and again";

/** A Secret that is written again and again, to see what an apiserver writes under. */
export class Canary {
  readonly #cluster: Cluster;
  readonly #node: ControlPlaneNode;
  readonly #name: string;

  private constructor(cluster: Cluster, node: ControlPlaneNode, name: string) {
    this.#cluster = cluster;
    this.#node = node;
    this.#name = name;
  }

  static async create(cluster: Cluster, node: ControlPlaneNode): Promise<Canary> {
    const name = `canary-of-${node.apiserver.name}`;
    await create(node.apiserver.api, "secrets", name, TEXT);
    return new Canary(cluster, node, name);
  }

  /** Throws unless its apiserver reads what it should. */
  async read(): Promise<void> {
    const text = await read(this.#node.apiserver.api, "secrets", this.#name);
    if (text !== TEXT) throw new Error(`${this.#name} reads ${JSON.stringify(text)}`);
  }

  /** As etcd has it. */
  async stored(): Promise<StoredValue> {
    const value = await this.#cluster.etcd.get(etcdKey("secrets", this.#name));
    if (value === undefined) throw new Error(`etcd has no secrets/${this.#name}`);
    return decodeStoredValue(value);
  }

  /** Waits until shim and apiserver have gone on to another key_id than this, with nothing restarted. */
  async switchedFrom(keyId: string): Promise<KeyIdSwitch> {
    const began = performance.now();
    const timed = async <T>(wait: Promise<T>) => ({ made: await wait, afterMs: performance.now() - began });
    const [status, etcd] = await Promise.all([
      timed(this.#anotherInStatus(keyId)),
      timed(this.#anotherInEtcd(keyId)),
    ]);
    const value = etcd.made;
    if (value.keyId !== status.made) throw new Error(`Status shows ${status.made}, etcd has ${value.keyId}`);
    return { keyId: value.keyId, inStatusAfterMs: status.afterMs, inEtcdAfterMs: etcd.afterMs, value };
  }

  #anotherInStatus(than: string): Promise<string> {
    return until(
      "another key_id in the shim's Status",
      async () => {
        const { keyId } = await this.#node.shim.status();
        return keyId === than ? undefined : keyId;
      },
      { withinMs: SWITCHED_WITHIN_MS, everyMs: 250 },
    );
  }

  #anotherInEtcd(than: string): Promise<StoredValue> {
    return until(
      "another key_id in a stored Secret",
      async () => {
        // Being asked for its health makes it ask the shim more often than once a minute.
        await this.#node.apiserver.api.health("/readyz");
        await rewrite(this.#node.apiserver.api, "secrets", this.#name);
        const value = await this.stored();
        return value.keyId === than ? undefined : value;
      },
      { withinMs: SWITCHED_WITHIN_MS, everyMs: 1000 },
    );
  }
}
