import * as fc from "fast-check";
import { afterEach, beforeEach, expect, test, vi } from "vitest";

import type { Model } from "./command.ts";
import { anyCommands } from "./commands.ts";
import { count, tally } from "./tally.ts";
import { World } from "./world.ts";

const BOUNDED_RUNS = 15;
const runs = Number(process.env["KEK_BROKER_SOAK_RUNS"] ?? BOUNDED_RUNS);
const seed = Number(process.env["KEK_BROKER_SOAK_SEED"] ?? 5);
const isLong = runs !== BOUNDED_RUNS;
/** How often a long one tells how far it is. */
const TELLS_EVERY = 100;
const COMMANDS = 80;
/** Ten times what a run takes on a quiet machine, and more. */
const RUN_MS = 5_000;

// No deadline ends by itself: what is slow says so at once, and a run is the same on any machine.
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "performance"] });
});
afterEach(() => {
  vi.useRealTimers();
});

test(
  "key ids change as often as keys rotate, and nothing sealed is lost, whatever fails meanwhile",
  async () => {
    await fc.assert(
      fc.asyncProperty(anyCommands(COMMANDS), fc.nat(), async (commands, random) => {
        const world = await World.start(random);
        const model: Model = { sealed: 0 };
        try {
          await fc.asyncModelRun(() => ({ model, real: world }), commands);
        } finally {
          world.stop();
        }
        expect(world.sealed).toHaveLength(model.sealed);
        count("runs");
        if (isLong && (tally.get("runs") ?? 0) % TELLS_EVERY === 0) tell();
      }),
      { seed, numRuns: runs },
    );
    if (isLong) tell();
  },
  runs * RUN_MS,
);

function tell(): void {
  console.log(JSON.stringify({ seed, ...Object.fromEntries(tally) }, null, 2));
}
