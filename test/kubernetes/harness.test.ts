import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { Apiserver } from "./apiserver.ts";
import { BUILD_TIMEOUT_MS, buildTools, type Tools } from "./tools.ts";
import { Cluster } from "./cluster.ts";
import { encryptionConfiguration } from "./encryption-configuration.ts";
import { MockKms } from "./mock-kms.ts";
import { until } from "./poll.ts";
import { create, etcdKey, type Kind, read, rewrite } from "./resources.ts";
import { useSandbox } from "./sandbox.ts";
import { decodeStoredValue, HKDF_SHA256_XNONCE_AES_GCM_SEED } from "./stored-value.ts";

const KINDS: readonly Kind[] = ["secrets", "configmaps"];

let tools: Tools;
beforeAll(async () => {
  tools = await buildTools();
}, BUILD_TIMEOUT_MS);

describe("the build", () => {
  afterEach(() => vi.unstubAllEnvs());

  test("says what is missing where there is no Go", async () => {
    vi.stubEnv("PATH", "/nonexistent");
    await expect(buildTools()).rejects.toThrow(/needs Go 1.26 or newer as `go` on PATH/);
  });
});

describe("an apiserver without encryption", () => {
  const sandbox = useSandbox();
  let cluster: Cluster;
  let apiserver: Apiserver;
  beforeAll(async () => {
    cluster = await Cluster.start(sandbox, tools, "plain");
    apiserver = await cluster.addApiserver("cp-1");
  });

  test("stores a Secret in plaintext, which the raw value shows", async () => {
    await create(apiserver.api, "secrets", "plain", "in the clear\n");
    const raw = await storedBytes(cluster, "secrets", "plain");
    expect(raw.includes("in the clear\n")).toBe(true);
    expect(() => decodeStoredValue(raw)).toThrow(/not encrypted by KMS v2: "k8s/);
  });

  test("answers kubectl of its own version", async () => {
    const version = JSON.parse(await apiserver.kubectl.ok(["version", "--output=json"]));
    expect(version).toMatchObject({
      clientVersion: { gitVersion: "v1.37.2" },
      serverVersion: { gitVersion: "v1.37.2" },
    });
    const absent = await apiserver.kubectl.run(["get", "secret", "absent"]);
    expect(absent).toMatchObject({ code: 1, stderr: expect.stringContaining("NotFound") });
  });

  test("leaves values of any bytes in etcd as they are", async () => {
    const bytes = Buffer.from([...Array(256).keys(), 0x0a, 0x0d, 0x0a, 0x00, 0x0a]);
    await cluster.etcd.put("/bytes/a", bytes);
    expect(await cluster.etcd.get("/bytes/a")).toEqual(bytes);
    expect(await cluster.etcd.list("/bytes/")).toEqual(new Map([["/bytes/a", bytes]]));
    expect(await cluster.etcd.get("/bytes/b")).toBeUndefined();
  });

  test("fails to start on a broken configuration with the reason from its log", async () => {
    const start = cluster.addApiserver("broken", "kind: Nonsense");
    await expect(start).rejects.toThrow(/plain-broken ended with 1.*'apiVersion' is missing/s);
  });
});

describe("an apiserver with a KMS v2 plugin", () => {
  const sandbox = useSandbox();
  let mock: MockKms;
  let cluster: Cluster;
  let apiserver: Apiserver;
  let configuration: string;
  beforeAll(async () => {
    mock = await MockKms.start(sandbox.path("mock.sock"));
    configuration = encryptionConfiguration([{ name: "mock", socket: mock.socket }, "identity"]);
    cluster = await Cluster.start(sandbox, tools, "kms");
    apiserver = await cluster.addApiserver("cp-1", configuration);
    await create(apiserver.api, "secrets", "early", "kept by the mock");
    await create(apiserver.api, "configmaps", "early", "kept by the mock");
  });
  afterAll(() => mock.stop());

  test.each(KINDS)("stores %s encrypted under the plugin's key", async (kind) => {
    const raw = await storedBytes(cluster, kind, "early");
    expect(raw.includes("kept by the mock")).toBe(false);
    const stored = decodeStoredValue(raw);
    expect(stored).toMatchObject({
      provider: "mock",
      keyId: "key-1",
      encryptedDekSourceType: HKDF_SHA256_XNONCE_AES_GCM_SEED,
    });
    expect(stored.encryptedDekSource).toHaveLength(12 + 32 + 16);
    expect(stored.encryptedData.length).toBeGreaterThan(0);
    expect([...stored.annotations.keys()]).toEqual(["mock.kek-broker.test"]);
  });

  test("reads them again after a restart and after a crash", async () => {
    await apiserver.restart();
    expect(await read(apiserver.api, "secrets", "early")).toBe("kept by the mock");
    expect(mock.calls.Decrypt).toBeGreaterThan(0);

    expect(await apiserver.kill()).toEqual({ code: null, signal: "SIGKILL" });
    await apiserver.start();
    expect(await read(apiserver.api, "configmaps", "early")).toBe("kept by the mock");
  });

  test("shares them with a second apiserver on the same etcd", async () => {
    const second = await cluster.addApiserver("cp-2", configuration);
    await create(second.api, "secrets", "shared", "from the second");
    expect(await read(second.api, "secrets", "early")).toBe("kept by the mock");
    expect(await read(apiserver.api, "secrets", "shared")).toBe("from the second");
    await second.stop();
  });

  test("writes under a new key once the plugin has one", async () => {
    mock.rotate("key-2");
    await until(
      "key-2 in a stored Secret",
      async () => {
        // Being asked for its health makes it ask the plugin more often than once a minute.
        await apiserver.api.health("/readyz");
        await rewrite(apiserver.api, "secrets", "early");
        const { keyId } = decodeStoredValue(await storedBytes(cluster, "secrets", "early"));
        return keyId === "key-2" || undefined;
      },
      { withinMs: 70_000, everyMs: 500 },
    );
    expect(await read(apiserver.api, "configmaps", "early")).toBe("kept by the mock");
    const ids = await apiserver.api.metric("apiserver_envelope_encryption_key_id_hash_total");
    expect(new Set(ids.map(({ labels }) => labels["key_id_hash"])).size).toBe(2);
  });

  test("serves without being ready while the plugin is away", async () => {
    mock.stop();
    await apiserver.restart("serving");
    const health = await apiserver.api.health("/readyz");
    expect(health.status).toBe(500);
    expect(health.text).toMatch(/^\[-\]kms-providers failed/m);
    await expect(read(apiserver.api, "secrets", "early")).rejects.toThrow(/answered 500/);
  });
});

async function storedBytes(cluster: Cluster, kind: Kind, name: string): Promise<Buffer> {
  const raw = await cluster.etcd.get(etcdKey(kind, name));
  if (raw === undefined) throw new Error(`etcd has no ${kind}/${name}`);
  return raw;
}
