import { afterAll, beforeAll, describe, test } from "vitest";

import type { Apiserver } from "./apiserver.ts";
import { Cluster } from "./cluster.ts";
import { KEY_KINDS, type KeyKind, makeKey } from "./key-kind.ts";
import { until } from "./poll.ts";
import { create, etcdKey, read, rewrite } from "./resources.ts";
import { useSandbox } from "./sandbox.ts";
import type { Shim } from "./shim.ts";
import { Stand } from "./stand.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";
import { BUILD_TIMEOUT_MS, buildTools, type Tools } from "./tools.ts";

/** Two polls of the shim 40 s apart, what the broker remembers, and the apiserver's next Status: 110 s at most, and slack. */
const SEEN_WITHIN_MS = 240_000;
const TEST_TIMEOUT_MS = SEEN_WITHIN_MS + 120_000;

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
      await create(apiserver.api, "secrets", "moving", "written again and again");
      const before = await stored(cluster, "old");
      expect((await shim.status()).keyId).toBe(before.keyId);

      await stand.rotate("only");
      const began = performance.now();
      const seconds = () => `${((performance.now() - began) / 1000).toFixed(1)} s`;
      const shown = async () => {
        const keyId = await anotherKeyIdInStatus(shim, before.keyId);
        return { keyId, after: seconds() };
      };
      const storedAgain = async () => {
        const value = await rewrittenUnderAnotherKey(cluster, apiserver, before.keyId);
        return { value, after: seconds() };
      };
      const [status, etcd] = await Promise.all([shown(), storedAgain()]);
      const { keyId } = etcd.value;

      expect(keyId).toBe(status.keyId);
      expect(await shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
      expect((await stored(cluster, "old")).keyId).toBe(before.keyId);
      tell(
        `key_id ${before.keyId} → ${keyId}: in Status ${status.after}, in etcd ${etcd.after} after the rotation`,
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
      expect(await read(apiserver.api, "secrets", "moving")).toBe("written again and again");
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

async function stored(cluster: Cluster, name: string): Promise<StoredValue> {
  const value = await cluster.etcd.get(etcdKey("secrets", name));
  if (value === undefined) throw new Error(`etcd has no secrets/${name}`);
  return decodeStoredValue(value);
}

function anotherKeyIdInStatus(shim: Shim, than: string): Promise<string> {
  return until(
    "another key_id in the shim's Status",
    async () => {
      const { keyId } = await shim.status();
      return keyId === than ? undefined : keyId;
    },
    { withinMs: SEEN_WITHIN_MS, everyMs: 250 },
  );
}

/** Writes the Secret `moving` again until it is stored under another key_id than this. */
function rewrittenUnderAnotherKey(
  cluster: Cluster,
  apiserver: Apiserver,
  keyId: string,
): Promise<StoredValue> {
  return until(
    "another key_id in a stored Secret",
    async () => {
      // Being asked for its health makes it ask the shim more often than once a minute.
      await apiserver.api.health("/readyz");
      await rewrite(apiserver.api, "secrets", "moving");
      const value = await stored(cluster, "moving");
      return value.keyId === keyId ? undefined : value;
    },
    { withinMs: SEEN_WITHIN_MS, everyMs: 500 },
  );
}
