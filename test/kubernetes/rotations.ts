import { test } from "vitest";

import { Cluster } from "./cluster.ts";
import { Canary } from "./key-id-switch.ts";
import { until } from "./poll.ts";
import type { Scene, SceneOf } from "./scene.ts";
import type { Shim } from "./shim.ts";
import { type ControlPlaneNode, Stand } from "./stand.ts";
import { storedSecrets } from "./stored-envelope.ts";
import { keysInThreeClouds } from "./three-clouds.ts";
import { Traffic } from "./traffic.ts";

const TIMEOUT_MS = 600_000;
const CLUSTER = "prod-eu-1";
const NODES = ["cp-1", "cp-2"] as const;
/** Polls of 44 s at most. */
const TWO_POLLS_WITHIN_MS = 180_000;

/** One of three clouds rotates while everybody works. */
export function describeRotations(sceneOf: SceneOf): void {
  test(
    "changes key_id exactly once an apiserver when one of three clouds rotates under traffic",
    { timeout: TIMEOUT_MS },
    async ({ expect }) => {
      const scene = sceneOf("rotated");
      const { tell } = scene;
      const { stand, cluster, nodes } = await scene.setUp(() => prepare(scene));
      const canaries = await Promise.all(nodes.map((node) => Canary.create(cluster, node)));
      const caller = stand.caller(CLUSTER, NODES[0]);
      const apiservers = nodes.map(({ apiserver }) => apiserver);
      const traffic = Traffic.start({ cluster, apiservers, brokers: stand.brokers, caller });
      const [old] = await keyIdsOf(nodes);

      await stand.rotate("gcp");
      const switches = await Promise.all(canaries.map((canary) => canary.switchedFrom(old ?? "")));
      // Would it change back, or once more, two more readings of a broker would show it.
      await Promise.all(nodes.map(({ shim }) => polledTwice(shim)));
      const tally = await traffic.stop();

      const [next, ...others] = await keyIdsOf(nodes);
      expect(others).toEqual([]);
      expect(switches.map(({ keyId }) => keyId)).toEqual([next, next]);
      const changes = await Promise.all(
        nodes.map(({ shim }) => shim.metric("kek_shim_key_id_changes_total")),
      );
      expect(changes).toEqual([1, 1]);
      const written = await Promise.all(nodes.map(keyIdsWrittenUnder));
      expect(written).toEqual([2, 2]);
      const stored = (await storedSecrets(cluster)).map(({ keyId }) => keyId);
      expect(new Set(stored)).toEqual(new Set([old, next]));
      expect([...tally.writes.failures, ...tally.reads.failures, ...tally.unwraps.failures]).toEqual([]);
      tell(`key_id ${old} → ${next}, once at each of two apiservers`);
      for (const [index, { inStatusAfterMs, inEtcdAfterMs }] of switches.entries()) {
        tell(
          `${NODES[index]}: in Status ${seconds(inStatusAfterMs)}, in etcd ${seconds(inEtcdAfterMs)} after the rotation`,
        );
      }
      tell(
        `traffic: ${tally.writes.done} writes, ${tally.reads.done} reads, ${tally.unwraps.done} unwraps, 0 failed`,
      );
    },
  );
}

async function prepare({ sandbox, tools, keep }: Scene) {
  const keys = await keysInThreeClouds(sandbox);
  const stand = await keep(Stand.start({ sandbox, keys, registry: { [CLUSTER]: NODES }, brokers: 2 }));
  const cluster = await Cluster.start(sandbox, tools, CLUSTER);
  const nodes = await Promise.all(NODES.map((node) => stand.addNode(cluster, node)));
  return { stand, cluster, nodes };
}

/** What the shims' Status shows, each once. */
async function keyIdsOf(nodes: readonly ControlPlaneNode[]): Promise<string[]> {
  const shown = await Promise.all(nodes.map(({ shim }) => shim.status()));
  return [...new Set(shown.map(({ keyId }) => keyId))];
}

async function polledTwice(shim: Shim): Promise<void> {
  const polls = () => shim.metric("kek_shim_broker_calls_total", { operation: "status", result: "ok" });
  const before = await polls();
  await until(
    `${shim.name} has polled twice`,
    async () => ((await polls()) >= before + 2 ? true : undefined),
    {
      withinMs: TWO_POLLS_WITHIN_MS,
      everyMs: 1000,
    },
  );
}

/** How many key_ids this apiserver has written under since it started. */
async function keyIdsWrittenUnder({ apiserver }: ControlPlaneNode): Promise<number> {
  const all = await apiserver.api.metric("apiserver_envelope_encryption_key_id_hash_total");
  const written = all.filter(({ labels }) => labels["transformation_type"] === "to_storage");
  return new Set(written.map(({ labels }) => labels["key_id_hash"])).size;
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
