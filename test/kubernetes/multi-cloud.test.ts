import { afterAll, beforeAll, describe, vi } from "vitest";

import { describeMigrations } from "./migrations.ts";
import { describeOutages } from "./outages.ts";
import { describeQuorum } from "./quorum.ts";
import { describeRotations } from "./rotations.ts";
import { useSandbox } from "./sandbox.ts";
import type { Scene, SceneOf } from "./scene.ts";
import { CLOUDS } from "./three-clouds.ts";
import { BUILD_TIMEOUT_MS, buildTools, type Tools } from "./tools.ts";

const SCENES = [...CLOUDS.map((cloud) => `${cloud} fails`), "two away", "cold", "moved", "rotated"];

// Several at once, each on brokers, keys and clusters of its own: they are mostly waiting, and two cores can still do it.
vi.setConfig({ maxConcurrency: 4 });

describe.concurrent("a KEK in several clouds", () => {
  let tools: Tools;
  beforeAll(async () => {
    tools = await buildTools();
  }, BUILD_TIMEOUT_MS);

  const sandboxes = new Map(SCENES.map((name) => [name, useSandbox()]));
  const kept: { close(): Promise<void> }[] = [];
  afterAll(() => Promise.all(kept.map((made) => made.close())));

  let lastSetUp: Promise<unknown> = Promise.resolve();
  const setUp: Scene["setUp"] = (start) => {
    const mine = lastSetUp.then(start);
    lastSetUp = mine.catch(() => {});
    return mine;
  };

  const sceneOf: SceneOf = (name) => {
    const sandbox = sandboxes.get(name);
    if (sandbox === undefined) throw new Error(`no sandbox for ${name}`);
    return {
      sandbox,
      tools,
      setUp,
      tell: (line) => console.log(`${name}: ${line}`),
      keep: async (made) => {
        const thing = await made;
        kept.push(thing);
        return thing;
      },
    };
  };

  // The longest first.
  describeMigrations(sceneOf);
  describeRotations(sceneOf);
  describeOutages(sceneOf);
  describeQuorum(sceneOf);
});
