import { afterAll, beforeAll, describe, test } from "vitest";

import { Cluster } from "./cluster.ts";
import { Canary, SWITCHED_WITHIN_MS } from "./key-id-switch.ts";
import { KEY_KINDS, type KeyKind, makeKey } from "./key-kind.ts";
import { create, etcdKey, read } from "./resources.ts";
import { useSandbox } from "./sandbox.ts";
import { Stand } from "./stand.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";
import { BUILD_TIMEOUT_MS, buildTools, type Tools } from "./tools.ts";

const TEST_TIMEOUT_MS = SWITCHED_WITHIN_MS + 120_000;

// All kinds at once: a rotation is mostly waiting.
describe.concurrent("a rotation of the KEK", () => {
  let tools: Tools;
  beforeAll(async () => {
    tools = await buildTools();
  }, BUILD_TIMEOUT_MS);

  const sandboxes = new Map(KEY_KINDS.map((kind) => [kind, useSandbox()]));
  const stands: Stand[] = [];
  afterAll(() => Promise.all(stands.map((stand) => stand.close())));

  test.for(KEY_KINDS)(
    "reaches stored objects without a restart, and what was stored before stays readable: %s",
    { timeout: TEST_TIMEOUT_MS },
    async (kind, { expect }) => {
      const tell = (line: string) => console.log(`${kind}: ${line}`);
      const { stand, cluster, node } = await startOne(kind);
      const { shim, apiserver } = node;
      await create(apiserver.api, "secrets", "old", "from before the rotation");
      const canary = await Canary.create(cluster, node);
      const before = await stored(cluster, "old");
      expect((await shim.status()).keyId).toBe(before.keyId);

      await stand.rotate("only");
      const { keyId, inStatusAfterMs, inEtcdAfterMs } = await canary.switchedFrom(before.keyId);

      expect(await shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
      expect((await stored(cluster, "old")).keyId).toBe(before.keyId);
      tell(
        `key_id ${before.keyId} → ${keyId}: in Status ${seconds(inStatusAfterMs)}, in etcd ${seconds(inEtcdAfterMs)} after the rotation`,
      );

      const wraps = stand.broker.uses().filter(({ intent }) => intent.operation === "wrap");
      const versions = [
        ...new Set(
          wraps.flatMap(({ outcome }) => outcome?.members ?? []).map(({ keyVersion }) => keyVersion),
        ),
      ];
      expect(versions).toHaveLength(2);
      const probes = wraps.filter(({ intent }) => intent.uid?.startsWith("probe-"));
      expect(probes.length).toBe(1);
      tell(
        `the broker's record: ${wraps.length} wraps under versions ${versions.join(" and ")}, ${probes.length} of them a probe`,
      );

      // Nothing is left in any memory.
      await shim.restart();
      await apiserver.restart();
      expect(await read(apiserver.api, "secrets", "old")).toBe("from before the rotation");
      await canary.read();
      expect((await canary.stored()).keyId).toBe(keyId);
      expect((await shim.status()).keyId).toBe(keyId);
      tell("shim and apiserver restarted: objects of both versions read back");
    },
  );

  async function startOne(kind: KeyKind) {
    const sandbox = sandboxes.get(kind);
    if (sandbox === undefined) throw new Error(`no sandbox for ${kind}`);
    const keys = { only: await makeKey(sandbox, kind) };
    const stand = await Stand.start({ sandbox, keys, registry: { "prod-eu-1": ["cp-1"] } });
    stands.push(stand);
    const cluster = await Cluster.start(sandbox, tools, "prod-eu-1");
    return { stand, cluster, node: await stand.addNode(cluster, "cp-1") };
  }
});

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

async function stored(cluster: Cluster, name: string): Promise<StoredValue> {
  const value = await cluster.etcd.get(etcdKey("secrets", name));
  if (value === undefined) throw new Error(`etcd has no secrets/${name}`);
  return decodeStoredValue(value);
}
