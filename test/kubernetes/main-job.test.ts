import { createHash, randomBytes } from "node:crypto";

import { status as Code } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import * as z from "zod";

import { serviceErrorOf } from "../conformance/grpc/kms-client.ts";
import type { Answer } from "./api-client.ts";
import { Cluster } from "./cluster.ts";
import { KEY_KINDS, makeKey } from "./key-kind.ts";
import { until } from "./poll.ts";
import { create, etcdKey, type Kind, read, rewrite } from "./resources.ts";
import { useSandbox } from "./sandbox.ts";
import { type ControlPlaneNode, KEK, PROVIDER, Stand } from "./stand.ts";
import { decodeStoredValue, HKDF_SHA256_XNONCE_AES_GCM_SEED, type StoredValue } from "./stored-value.ts";
import { BUILD_TIMEOUT_MS, buildTools } from "./tools.ts";

const KINDS: readonly Kind[] = ["secrets", "configmaps"];
/** Of one length, so that a stored value can be made to name the other. */
const A = "prod-eu-1";
const B = "prod-us-1";
/** What kube-apiserver takes at most. */
const MAX_ENCRYPTED_DEK_SOURCE = 1024;
const SEED_BYTES = 32;
const Failure = z.looseObject({ message: z.string() });

describe.each(KEY_KINDS)("Secrets under a KEK in %s", (keyKind) => {
  const sandbox = useSandbox();
  const tell = (line: string) => console.log(`${keyKind}: ${line}`);
  const text = `only for ${keyKind} ${randomBytes(9).toString("hex")}`;
  let stand: Stand;
  let a: Cluster;
  let b: Cluster;
  let first: ControlPlaneNode;
  let second: ControlPlaneNode;
  let foreign: ControlPlaneNode;

  beforeAll(async () => {
    const tools = await buildTools();
    stand = await Stand.start({
      sandbox,
      keys: { only: await makeKey(sandbox, keyKind) },
      registry: { [A]: ["cp-1", "cp-2"], [B]: ["cp-1"] },
    });
    [a, b] = await Promise.all([Cluster.start(sandbox, tools, A), Cluster.start(sandbox, tools, B)]);
    const unencrypted = await a.addApiserver("before");
    await create(unencrypted.api, "secrets", "from-before", text);
    await unencrypted.kill();

    first = await stand.addNode(a, "cp-1");
    for (const kind of KINDS) await create(first.apiserver.api, kind, "first", text);
    [second, foreign] = await Promise.all([stand.addNode(a, "cp-2"), stand.addNode(b, "cp-1")]);
  }, BUILD_TIMEOUT_MS);
  afterAll(() => stand?.close());

  async function raw(cluster: Cluster, kind: Kind, name: string): Promise<Buffer> {
    const value = await cluster.etcd.get(etcdKey(kind, name));
    if (value === undefined) throw new Error(`etcd of ${cluster.name} has no ${kind}/${name}`);
    return value;
  }

  async function stored(cluster: Cluster, kind: Kind, name: string): Promise<StoredValue> {
    return decodeStoredValue(await raw(cluster, kind, name));
  }

  /** Uses of the KEK in the broker's record that were to open an envelope, for this node. */
  const unwraps = (subject: string) =>
    stand.broker
      .uses()
      .filter(({ intent }) => intent.operation === "unwrap" && intent.principal.subject === subject);

  test.each(KINDS)(
    "stores %s with nothing in plaintext, under the key_id that the shim shows",
    async (kind) => {
      const value = await raw(a, kind, "first");
      expect(value.includes(text)).toBe(false);
      expect(value.includes(Buffer.from(text).toString("base64"))).toBe(false);
      const { provider, keyId, encryptedDekSource, encryptedDekSourceType, encryptedData } =
        decodeStoredValue(value);
      expect(provider).toBe(PROVIDER);
      expect(encryptedDekSourceType).toBe(HKDF_SHA256_XNONCE_AES_GCM_SEED);
      expect(encryptedDekSource.length).toBeLessThanOrEqual(MAX_ENCRYPTED_DEK_SOURCE);
      expect(encryptedData.length).toBeGreaterThan(0);
      expect(keyId).toMatch(new RegExp(`^${KEK}\\.0\\.[a-z2-7]{16}$`));
      expect(await first.shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
      const prefix = value.subarray(0, value.indexOf(PROVIDER) + PROVIDER.length + 1).toString();
      tell(
        `${kind}/first: ${prefix} key_id ${keyId}, DEK source ${encryptedDekSource.length} B of ${value.length} B`,
      );
    },
  );

  test("leaves plaintext of before readable, and encrypts it when it is written again", async () => {
    const key = etcdKey("secrets", "from-before");
    expect((await a.etcd.get(key))?.includes(text)).toBe(true);
    expect(await read(first.apiserver.api, "secrets", "from-before")).toBe(text);

    await rewrite(first.apiserver.api, "secrets", "from-before");

    const all = await a.etcd.list("/registry/secrets/");
    expect(all.has(key)).toBe(true);
    for (const value of all.values()) {
      expect(value.includes(text)).toBe(false);
      expect(decodeStoredValue(value).provider).toBe(PROVIDER);
    }
    expect(await read(first.apiserver.api, "secrets", "from-before")).toBe(text);
    tell("a plaintext Secret of before was read, and encrypted when it was written again");
  });

  test("lets two nodes with keys of their own read what the other wrote", async () => {
    await create(second.apiserver.api, "secrets", "by-second", text);
    expect(await read(first.apiserver.api, "secrets", "by-second")).toBe(text);
    expect(await read(second.apiserver.api, "secrets", "first")).toBe(text);

    const [one, other] = [await stored(a, "secrets", "first"), await stored(a, "secrets", "by-second")];
    expect(other.keyId).toBe(one.keyId);
    expect(other.encryptedDekSource).not.toEqual(one.encryptedDekSource);
    for (const node of ["cp-1", "cp-2"]) {
      const opened = unwraps(`${A}/${node}`).filter(({ outcome }) => outcome?.result === "ok");
      expect(opened.length).toBeGreaterThan(0);
    }
    tell("cp-1 and cp-2 read each other's Secrets: one key_id, two seeds");
  });

  test("reads them back after a restart of the apiserver, from the shim's memory", async () => {
    const { hit } = await first.shim.decrypts();
    const before = unwraps(`${A}/cp-1`).length;
    await first.apiserver.restart();
    for (const kind of KINDS) expect(await read(first.apiserver.api, kind, "first")).toBe(text);
    expect((await first.shim.decrypts()).hit).toBeGreaterThan(hit);
    expect(unwraps(`${A}/cp-1`)).toHaveLength(before);
    tell("apiserver restarted: read back, no unwrap at the broker");
  });

  test("reads them back after a restart of the shim, from the broker", async () => {
    await first.shim.restart();
    expect(await read(first.apiserver.api, "secrets", "first")).toBe(text);
    await create(first.apiserver.api, "secrets", "after-shim", text);
    const before = unwraps(`${A}/cp-1`).length;
    await first.apiserver.restart();
    for (const kind of KINDS) expect(await read(first.apiserver.api, kind, "first")).toBe(text);
    expect(await read(first.apiserver.api, "secrets", "after-shim")).toBe(text);
    const asked = unwraps(`${A}/cp-1`).slice(before);
    expect(asked.length).toBeGreaterThan(0);
    expect(asked.map(({ outcome }) => outcome?.result)).toEqual(asked.map(() => "ok"));
    tell(`shim restarted, then the apiserver: read back with ${asked.length} unwraps at the broker`);
  });

  test("reads and encrypts after a restart of the broker", async () => {
    await stand.broker.restart();
    expect(await read(first.apiserver.api, "secrets", "first")).toBe(text);
    // A starting apiserver has a seed of its own wrapped, over the connection that the shim had to the old broker.
    await first.apiserver.restart();
    await create(first.apiserver.api, "secrets", "after-broker", text);
    expect(await read(second.apiserver.api, "secrets", "after-broker")).toBe(text);
    tell("broker restarted: read back, a new seed wrapped by it and unwrapped for the other node");
  });

  test("reads them back after a restart of everything at once", async () => {
    const { keyId } = await first.shim.status();
    await Promise.all([first.apiserver.stop(), second.apiserver.stop()]);
    await Promise.all([first.shim.stop(), second.shim.stop(), stand.broker.stop(), a.etcd.stop()]);
    await Promise.all([a.etcd.start(), stand.broker.start()]);
    await Promise.all([first.shim.start(), second.shim.start()]);
    await Promise.all([first.apiserver.start(), second.apiserver.start()]);
    for (const { apiserver } of [first, second]) {
      for (const kind of KINDS) expect(await read(apiserver.api, kind, "first")).toBe(text);
      for (const name of ["from-before", "by-second", "after-shim", "after-broker"]) {
        expect(await read(apiserver.api, "secrets", name)).toBe(text);
      }
    }
    expect((await first.shim.status()).keyId).toBe(keyId);
    tell(`etcd, broker, both shims and both apiservers restarted: all read back, key_id still ${keyId}`);
  });

  test("refuses another cluster a Secret that was moved into its etcd", async () => {
    await create(foreign.apiserver.api, "secrets", "own", text);
    await b.etcd.put(etcdKey("secrets", "first"), await raw(a, "secrets", "first"));

    const answer = await foreign.apiserver.api.get("/api/v1/namespaces/default/secrets/first");
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain(text);
    const refusal = stand.broker.log().find(({ code }) => code === "SealedByAnotherCluster");
    expect(refusal).toMatchObject({ event: "request", route: "unwrap", principal: `${B}/cp-1` });
    // Nothing was to be done, so nothing is in the record.
    expect(unwraps(`${B}/cp-1`).filter(({ intent }) => intent.cluster === A)).toEqual([]);

    expect(await read(foreign.apiserver.api, "secrets", "own")).toBe(text);
    expect(await read(first.apiserver.api, "secrets", "first")).toBe(text);
    tell(`moved to ${B}: the apiserver answered ${answer.status} "${reasonIn(answer)}"`);
    tell(`moved to ${B}: the broker logged ${refusal?.code} for ${refusal?.principal}`);
  });

  test("refuses it too when its envelope was made to name the other cluster", async () => {
    const value = await raw(a, "secrets", "first");
    const relabelled = Buffer.from(value.toString("latin1").replaceAll(A, B), "latin1");
    expect(relabelled).toHaveLength(value.length);
    expect(relabelled).not.toEqual(value);
    await b.etcd.put(etcdKey("secrets", "first"), relabelled);

    const answer = await foreign.apiserver.api.get("/api/v1/namespaces/default/secrets/first");
    expect(answer.status).toBe(500);
    expect(answer.text).not.toContain(text);
    const envelope = createHash("sha256").update(decodeStoredValue(relabelled).encryptedDekSource);
    const digest = envelope.digest("hex");
    const use = unwraps(`${B}/cp-1`).find(({ intent }) => intent.envelope === digest);
    expect(use?.intent.cluster).toBe(B);
    expect(use?.outcome?.result).toBe("InvalidCiphertext");
    expect(await read(foreign.apiserver.api, "secrets", "own")).toBe(text);
    tell(`moved and relabelled: the apiserver answered ${answer.status} "${reasonIn(answer)}"`);
    tell(`moved and relabelled: ${use?.outcome?.result} in the broker's record`);
  });

  test("tells a node with an unregistered key nothing", async () => {
    const impostor = await stand.addImpostor(a, "cp-1");
    expect((await impostor.shim.get("/readyz")).status).toBe(503);
    const { healthz } = await impostor.shim.status();
    expect(healthz).toMatch(/AuthenticationFailed/);
    // Its apiserver does not even ask; somebody at its socket would.
    const { encryptedDekSource } = await stored(a, "secrets", "first");
    const refusal = await serviceErrorOf(impostor.shim.decrypt(encryptedDekSource));
    expect(refusal?.code).toBe(Code.UNAUTHENTICATED);
    expect(await first.shim.decrypt(encryptedDekSource)).toHaveLength(SEED_BYTES);
    const answer = await impostor.apiserver.api.get("/api/v1/namespaces/default/secrets/first");
    expect(answer.status).toBe(500);
    await expect(create(impostor.apiserver.api, "secrets", "by-impostor", text)).rejects.toThrow(
      /answered 500/,
    );
    expect((await impostor.apiserver.api.health("/readyz")).status).toBe(500);
    expect(await read(first.apiserver.api, "secrets", "first")).toBe(text);
    await impostor.apiserver.kill();
    await impostor.shim.stop();
    tell(`an unregistered key: shim "${healthz}", apiserver ${answer.status} "${reasonIn(answer)}"`);
  });

  test("opens nothing more for a revoked node, while the other goes on", async () => {
    await stand.revoke(`${A}/cp-2`);
    // With a new seed, which the second apiserver has never seen.
    await first.apiserver.restart();
    await create(first.apiserver.api, "secrets", "since-revoked", text);
    const answer = await second.apiserver.api.get("/api/v1/namespaces/default/secrets/since-revoked");
    expect(answer.status).toBe(500);
    const { healthz } = await second.shim.status();
    expect(healthz).toMatch(/Revoked/);
    expect(await read(first.apiserver.api, "secrets", "since-revoked")).toBe(text);
    // Not from its cache either.
    await second.apiserver.restart("serving");
    await expect(read(second.apiserver.api, "secrets", "first")).rejects.toThrow(/answered 500/);
    tell(`revoked: shim "${healthz}", apiserver ${answer.status} "${reasonIn(answer)}"`);

    await stand.revoke();
    const took = performance.now();
    await until(
      "the readmitted node reads again",
      async () =>
        (await read(second.apiserver.api, "secrets", "since-revoked")) === text ? true : undefined,
      { withinMs: 60_000, everyMs: 500 },
    );
    tell(`readmitted: reads again after ${Math.round((performance.now() - took) / 100) / 10} s`);
  });
});

/** Why, in the apiserver's own words: past the part that every failed transformation has. */
function reasonIn(answer: Answer): string {
  const { message } = Failure.parse(answer.json());
  return message.replace(/^.* not transformable /, "");
}
