import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Apiserver } from "./apiserver.ts";
import { BUILD_TIMEOUT_MS, buildTools } from "./tools.ts";
import { Cluster } from "./cluster.ts";
import { encryptionConfiguration } from "./encryption-configuration.ts";
import { MockKms } from "./mock-kms.ts";
import { create, etcdKey, read } from "./resources.ts";
import { useSandbox } from "./sandbox.ts";

describe("a running apiserver whose encryption configuration changes", () => {
  const sandbox = useSandbox();
  let mock: MockKms;
  let cluster: Cluster;
  let apiserver: Apiserver;
  beforeAll(async () => {
    const tools = await buildTools();
    mock = await MockKms.start(sandbox.path("mock.sock"));
    cluster = await Cluster.start(sandbox, tools, "reload");
    apiserver = await cluster.addApiserver("cp-1", encryptionConfiguration(["identity"]));
  }, BUILD_TIMEOUT_MS);
  afterAll(() => mock.stop());

  test("takes it without a restart and still reads what is stored in plaintext", async () => {
    await create(apiserver.api, "secrets", "before", "in the clear");
    await apiserver.reconfigure(encryptionConfiguration([{ name: "mock", socket: mock.socket }, "identity"]));
    await create(apiserver.api, "secrets", "after", "kept by the mock");

    const after = await cluster.etcd.get(etcdKey("secrets", "after"));
    expect(after?.subarray(0, 20).toString()).toBe("k8s:enc:kms:v2:mock:");
    expect(await read(apiserver.api, "secrets", "before")).toBe("in the clear");
    expect(await read(apiserver.api, "secrets", "after")).toBe("kept by the mock");
  });
});
