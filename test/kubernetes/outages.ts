import { test } from "vitest";

import { MAX_KUBERNETES_CIPHERTEXT_BYTES } from "../../src/wire/limits.ts";
import type { KekStatus } from "../../src/wire/messages.ts";
import { CLOUD_FAULTS, type CloudFault } from "./cloud-key.ts";
import { memberResults, Outage } from "./outage.ts";
import type { SceneOf } from "./scene.ts";
import { PROVIDER } from "./stand.ts";
import { CLOUDS } from "./three-clouds.ts";

const TIMEOUT_MS = 600_000;

/** What the broker's record may call it. A member that did not answer five times is left alone: Unavailable. */
const RECORDED: Record<CloudFault, readonly string[]> = {
  refused: ["Unavailable"],
  silent: ["Timeout", "Unavailable"],
  slow: ["Timeout", "Unavailable"],
  throttled: ["Throttled"],
  disabled: ["KeyUnavailable"],
};

/** One of three clouds fails in each way there is, and nobody who stores Secrets notices. */
export function describeOutages(sceneOf: SceneOf): void {
  test.for(CLOUDS)(
    "stores and opens Secrets while one of three clouds fails in every way, and says which: %s",
    { timeout: TIMEOUT_MS },
    async (failing, { expect }) => {
      const scene = sceneOf(`${failing} fails`);
      const others = CLOUDS.filter((name) => name !== failing);
      const outage = await scene.setUp(() => Outage.prepare(scene, failing));

      const { state, keyId, maxCiphertext } = await outage.status();
      const well = await outage.fromColdWriteByAll("all-well");
      const size = well.value.encryptedDekSource.length;
      expect(state).toBe("ACTIVE");
      expect(well.value).toMatchObject({ provider: PROVIDER, keyId });
      expect(well.members).toEqual(CLOUDS);
      expect(size).toBeLessThanOrEqual(maxCiphertext);
      expect(maxCiphertext).toBeLessThanOrEqual(MAX_KUBERNETES_CIPHERTEXT_BYTES);
      scene.tell(
        `all well: ACTIVE, ${keyId}, envelope of ${size} B (at most ${maxCiphertext}) by ${well.members.join(", ")}`,
      );

      for (const fault of CLOUD_FAULTS) {
        await outage.fail(fault);
        if (fault === "refused" || fault === "disabled") {
          const { status, afterMs } = await outage.statusWith(
            fault === "refused" ? "unavailable" : "disabled",
          );
          expect(status).toMatchObject({ state: "DEGRADED", keyId });
          scene.tell(`${fault}: status after ${seconds(afterMs)}: ${inWords(status)}`);
        }
        const found = await outage.fromColdWrite(fault);
        expect(found.texts).toEqual(outage.texts);
        expect(found.members).toEqual(others);
        expect(found.value.keyId).toBe(keyId);
        expect(await outage.node.shim.status()).toEqual({ version: "v2", healthz: "ok", keyId });
        // A busy machine's emulators may be too late, and are asked again; nothing else may go wrong.
        const results = new Set(found.uses.map(({ outcome }) => outcome?.result));
        expect([...results].filter((result) => result !== "ok" && result !== "DependencyTimeout")).toEqual(
          [],
        );
        const wraps = memberResults(found.uses, "wrap");
        for (const name of others) expect(wraps[name]).toContain("ok");
        const unwraps = memberResults(found.uses, "unwrap");
        expect(Object.values(unwraps).flat()).toContain("ok");
        const failed = [...(wraps[failing] ?? []), ...(unwraps[failing] ?? [])];
        expect(failed).not.toContain("ok");
        expect(failed.filter((result) => RECORDED[fault].includes(result))).not.toEqual([]);
        const mendedAfter = await outage.mend();
        scene.tell(
          `${fault}: apiserver up in ${seconds(found.readyAfterMs)}, ${found.texts.size} Secrets read, envelope of ` +
            `${found.value.encryptedDekSource.length} B by ${found.members.join(", ")}; wraps: ${inTheRecord(wraps)}; ` +
            `unwraps: ${inTheRecord(unwraps)}; mended: all wrap after ${seconds(mendedAfter)}`,
        );
      }

      const { status, afterMs } = await outage.statusWith("available");
      expect(status).toMatchObject({ state: "ACTIVE", keyId });
      const again = await outage.fromColdWriteByAll("well-again");
      expect(again.members).toEqual(CLOUDS);
      expect(again.texts).toEqual(outage.texts);
      expect(await outage.storedKeyIds()).toEqual(new Set([keyId]));
      scene.tell(`well again: status after ${seconds(afterMs)}: ${inWords(status)}`);
      scene.tell(
        `well again: ${again.texts.size} Secrets read, envelope by ${again.members.join(", ")}; all there is in etcd under ${keyId}`,
      );
    },
  );
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function inWords({ state, members }: KekStatus): string {
  return `${state} (${members.map(({ name, state }) => `${name} ${state}`).join(", ")})`;
}

function inTheRecord(results: Record<string, string[]>): string {
  return Object.entries(results)
    .map(([name, all]) => `${name} ${all.join("/")}`)
    .join(", ");
}
