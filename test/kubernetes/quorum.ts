import { test } from "vitest";

import { Outage } from "./outage.ts";
import { until } from "./poll.ts";
import type { SceneOf } from "./scene.ts";

const TIMEOUT_MS = 600_000;
const READY_WITHIN_MS = 180_000;
const ALL = { aws: "both", gcp: "both", azure: "both" } as const;

/** Of three members two must have wrapped, unless the configuration says that one will do. */
export function describeQuorum(sceneOf: SceneOf): void {
  test(
    "goes on with two of three clouds away, and starts an apiserver again once one wrap is said to be enough",
    { timeout: TIMEOUT_MS },
    async ({ expect }) => {
      const scene = sceneOf("two away");
      const outage = await scene.setUp(() => Outage.prepare(scene, "aws"));
      const { stand, node, keys } = outage;
      await outage.fromColdWriteByAll("all-well");
      const { keyId } = await node.shim.status();

      await Promise.all([keys.aws.fail("refused"), keys.azure.fail("refused")]);
      const { status } = await outage.statusWith("unavailable");
      await outage.write("two-away");
      expect(await outage.readAll()).toEqual(outage.texts);
      expect(await node.shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
      scene.tell(`status ${status.state}; the running apiserver reads and writes`);

      await node.shim.restart();
      await node.apiserver.restart("serving");
      const refused = await node.apiserver.api.get("/api/v1/namespaces/default/secrets/two-away");
      expect(refused.status).toBe(500);
      const wrap = stand.broker.uses().findLast(({ intent }) => intent.operation === "wrap");
      expect(wrap?.outcome?.result).not.toBe("ok");
      scene.tell(
        `an apiserver that starts gets no seed wrapped (${wrap?.outcome?.result}), and reads no Secret: ${refused.status}`,
      );

      const told = await stand.move({ members: ALL, epoch: 0, wrapQuorum: 1 });
      const began = performance.now();
      await until(
        "the apiserver is ready",
        async () => ((await node.apiserver.api.get("/readyz")).status === 200 ? true : undefined),
        { withinMs: READY_WITHIN_MS, everyMs: 250 },
      );
      const tookMs = performance.now() - began;
      const one = await outage.fromColdWrite("one-wraps");
      expect(one.members).toEqual(["gcp"]);
      expect(one.texts).toEqual(outage.texts);
      expect(one.value.keyId).toBe(keyId);
      scene.tell(
        `wrapQuorum: 1 (kekctl: ${told.split("\n")[0]?.replace(/^\S+ /, "")}): ready after ${(tookMs / 1000).toFixed(1)} s, ` +
          `${one.texts.size} Secrets read, envelope by ${one.members.join(", ")}`,
      );

      await keys.azure.mend();
      await outage.mend();
      await stand.move({ members: ALL, epoch: 0 });
      const again = await outage.fromColdWriteByAll("well-again");
      expect(again.members).toEqual(Object.keys(ALL));
      expect(again.texts).toEqual(outage.texts);
      expect(await outage.storedKeyIds()).toEqual(new Set([keyId]));
      scene.tell(
        `mended: ${again.texts.size} Secrets read, envelope by ${again.members.join(", ")}, key_id as before`,
      );
    },
  );

  test(
    "has no key id to show when all brokers start while a member is away, until that member is retired",
    { timeout: TIMEOUT_MS },
    async ({ expect }) => {
      const scene = sceneOf("cold");
      const outage = await scene.setUp(() => Outage.prepare(scene, "aws"));
      const { stand, node, keys } = outage;
      const { shim, apiserver } = node;
      await outage.fromColdWriteByAll("all-well");
      const { keyId } = await shim.status();

      await keys.aws.fail("refused");
      await stand.broker.restart();
      expect(await outage.status()).toMatchObject({ state: "DEGRADED", keyId: null });
      expect(await shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
      await apiserver.restart();
      expect(await outage.readAll()).toEqual(outage.texts);
      scene.tell(
        "broker restarted: no key id in the KEK's status; a shim that runs keeps its own, and its apiserver may restart",
      );

      await shim.stop();
      await shim.start("running");
      const healthz = await until(
        "the shim says what it misses",
        async () => {
          const { healthz } = await shim.status();
          return healthz.includes("no key id yet") ? healthz : undefined;
        },
        { withinMs: READY_WITHIN_MS },
      );
      expect((await shim.get("/readyz")).status).toBe(503);
      scene.tell(`shim restarted too: "${healthz}"`);

      await stand.move({ members: { ...ALL, aws: "unwrap" }, epoch: 1 });
      const began = performance.now();
      await until(
        "the shim is healthy",
        async () => ((await shim.get("/readyz")).status === 200 ? true : undefined),
        {
          withinMs: READY_WITHIN_MS,
          everyMs: 250,
        },
      );
      const tookMs = performance.now() - began;
      const retired = await outage.fromColdWrite("retired");
      expect(retired.members).toEqual(["gcp", "azure"]);
      expect(retired.texts).toEqual(outage.texts);
      expect(retired.value.keyId).toMatch(/^prod-secrets\.1\./);
      scene.tell(
        `aws to use: unwrap, epoch 1: shim healthy after ${(tookMs / 1000).toFixed(1)} s, ${retired.texts.size} Secrets read, ` +
          `envelope by ${retired.members.join(", ")}`,
      );
    },
  );
}
