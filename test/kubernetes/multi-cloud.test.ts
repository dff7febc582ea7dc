import { afterAll, beforeAll, describe, test } from "vitest";

import { oneCloudFails } from "./outage-scenario.ts";
import { useSandbox } from "./sandbox.ts";
import type { Scene } from "./scene.ts";
import { CLOUDS } from "./three-clouds.ts";
import { BUILD_TIMEOUT_MS, buildTools, type Tools } from "./tools.ts";

const TIMEOUT_MS = 900_000;
const SCENES = CLOUDS.map((cloud) => `${cloud} fails`);

// All at once, each on brokers, keys and clusters of its own: they are mostly waiting.
describe.concurrent("a KEK in several clouds", () => {
  let tools: Tools;
  beforeAll(async () => {
    tools = await buildTools();
  }, BUILD_TIMEOUT_MS);

  const sandboxes = new Map(SCENES.map((name) => [name, useSandbox()]));
  const kept: { close(): Promise<void> }[] = [];
  afterAll(() => Promise.all(kept.map((made) => made.close())));

  function sceneOf(name: string): Scene {
    const sandbox = sandboxes.get(name);
    if (sandbox === undefined) throw new Error(`no sandbox for ${name}`);
    return {
      sandbox,
      tools,
      tell: (line) => console.log(`${name}: ${line}`),
      keep: async (made) => {
        const thing = await made;
        kept.push(thing);
        return thing;
      },
    };
  }

  test.for(CLOUDS)(
    "stores and opens Secrets while one of three fails in every way, and knows: %s",
    { timeout: TIMEOUT_MS },
    (cloud) => oneCloudFails(sceneOf(`${cloud} fails`), cloud),
  );
});
