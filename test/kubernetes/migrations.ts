import { test } from "vitest";

import { Migration } from "./migration.ts";
import type { SceneOf } from "./scene.ts";
import type { KekPlan } from "./stand.ts";
import type { KeyIdSwitch } from "./key-id-switch.ts";
import type { Tally } from "./traffic.ts";

const TIMEOUT_MS = 900_000;

/** The right order, one after the other. */
const START: KekPlan = { members: { aws: "both" }, epoch: 0 };
const ADDED: KekPlan = { members: { aws: "both", gcp: "unwrap" }, epoch: 0 };
const PROMOTED: KekPlan = { members: { aws: "both", gcp: "both" }, epoch: 1 };
const RETIRED: KekPlan = { members: { aws: "unwrap", gcp: "both" }, epoch: 2 };
const REMOVED: KekPlan = { members: { gcp: "both" }, epoch: 2 };

/** A whole cluster goes from one cloud to another, and nobody who uses Secrets notices. */
export function describeMigrations(sceneOf: SceneOf): void {
  test(
    "moves a cluster from AWS to Google by use and epoch, with no Secret unreadable at any moment",
    { timeout: TIMEOUT_MS },
    async ({ expect }) => {
      const scene = sceneOf("moved");
      const migration = await scene.setUp(() => Migration.prepare(scene, START));
      const { stand } = migration;
      const refuses = async (
        what: string,
        plan: KekPlan,
        ...repointed: Parameters<typeof stand.check>[1][]
      ) => {
        const { code, stdout } = await stand.check(plan, ...repointed);
        expect(code).toBe(1);
        scene.tell(`refused: ${what}: ${reasonIn(stdout)}`);
        return stdout;
      };
      const toldOf = (step: string, switches: readonly KeyIdSwitch[]) => {
        const [first] = switches;
        expect(new Set(switches.map(({ keyId }) => keyId)).size).toBe(1);
        const times = switches.map(
          ({ inStatusAfterMs, inEtcdAfterMs }) => `${seconds(inStatusAfterMs)} and ${seconds(inEtcdAfterMs)}`,
        );
        scene.tell(`${step}: key_id ${first?.keyId} in Status and etcd after ${times.join(", ")}`);
        return first?.keyId;
      };
      const traffic = migration.startTraffic();
      const first = await migration.keyId();
      scene.tell(`start: aws wraps: key_id ${first}, two brokers, two apiservers under traffic`);

      expect(await refuses("added as both at once", { ...PROMOTED })).toContain("is new and wraps at once");
      expect(await refuses("replaced", { members: { gcp: "both" }, epoch: 1 })).toContain(
        "is removed while it wraps",
      );
      await stand.move(ADDED);
      scene.tell("added: gcp with use: unwrap at one broker after the other");

      expect(await refuses("promoted, epoch not raised", { ...PROMOTED, epoch: 0 })).toContain(
        "must be raised to 1 or more",
      );
      const repointed = { gcp: migration.stranger.member };
      expect(await refuses("gcp names another key", PROMOTED, repointed)).toContain(
        "stands for another key now",
      );
      const inAHurry: KekPlan = { members: RETIRED.members, epoch: PROMOTED.epoch };
      expect((await stand.check(inAHurry)).code).toBe(0);
      const both = toldOf("promoted: aws and gcp wrap", await migration.moveAndSwitch(PROMOTED));
      expect(both).toMatch(/^prod-secrets\.1\./);

      expect(await refuses("epoch lowered", { ...PROMOTED, epoch: 0 })).toContain("is lowered from 1");
      expect(await refuses("aws removed while it wraps", REMOVED)).toContain("is removed while it wraps");
      const second = toldOf("retired: gcp alone wraps", await migration.moveAndSwitch(RETIRED));
      expect(second).toMatch(/^prod-secrets\.2\./);
      scene.tell(`in etcd, not yet written again: ${inWords(await migration.envelopes())}`);

      const { objects, tookMs } = await migration.rewriteEverything();
      expect(Object.keys(await migration.envelopes())).toEqual(["gcp"]);
      const tally = await traffic.stop();
      scene.tell(
        `kubectl replace of ${objects} objects in ${seconds(tookMs)}: in etcd ${inWords(await migration.envelopes())}`,
      );
      scene.tell(`traffic all along: ${toldInAll(tally)}`);
      expect([...tally.writes.failures, ...tally.reads.failures, ...tally.unwraps.failures]).toEqual([]);

      await migration.stopAws();
      await migration.restartAll();
      const count = await migration.readAll(0, traffic.texts);
      await migration.readAll(1, traffic.texts);
      expect(await migration.keyId()).toBe(second);
      scene.tell(
        `AWS ended for good; brokers, shims and apiservers restarted: ${count} Secrets read at both apiservers`,
      );

      await stand.move(REMOVED);
      await migration.restartNode(1);
      await migration.readAll(1, traffic.texts);
      expect(await migration.keyId()).toBe(second);
      scene.tell(
        `removed: aws is in no configuration any more; a node restarted reads all ${count}, key_id still ${second}`,
      );
    },
  );
}

/** The first of kekctl's lines, without the file's name. */
function reasonIn(stdout: string): string {
  return (stdout.split("\n")[0] ?? "").replace(/^\S+: /, "");
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

function inWords(envelopes: Record<string, number>): string {
  return Object.entries(envelopes)
    .map(([members, count]) => `${count} by ${members}`)
    .join("; ");
}

function toldInAll(tally: Tally): string {
  return Object.entries(tally)
    .map(([kind, { done, again, failures, slowestMs }]) => {
      const more = again > 0 ? `, ${again} asked again` : "";
      return `${done} ${kind} (slowest ${seconds(slowestMs)}${more}), ${failures.length} failed`;
    })
    .join("; ");
}
