import { expect } from "vitest";

import { count } from "./tally.ts";
import { SEED, type Place, type World } from "./world.ts";

/** Three polls and a bit, after the longest time that a broker is put aside. */
const SETTLES_IN_MS = 240_000;

/**
 * All faults end and time goes by. Then every shim shows the true id, or one that it may not leave for it; and it
 * changed its id exactly as often as the true one did.
 */
export async function requireQuiet(world: World): Promise<void> {
  world.heal();
  await world.pass(SETTLES_IN_MS);
  const trueId = await world.trueId();
  for (const place of world.places) requireRightCount(trueId, world.rotations, place);
  count("rotations seen through", world.rotations);
  world.rotations = 0;
  for (const place of world.places) {
    await place.shim.encrypt(SEED);
    place.shownBefore = place.shim.shown.length;
  }
}

function requireRightCount(trueId: string, rotations: number, { shim, shownBefore }: Place): void {
  const { shown, events } = shim;
  const now = shown.at(-1) ?? "";
  const tells = `${shown.join(" → ")}; true: ${trueId}; true changes: ${rotations}`;
  expect(shim.status(), tells).toEqual({ version: "v2", healthz: "ok", keyId: now });
  if (now !== trueId) {
    // A return without a higher epoch: refused, and said so.
    expect(shown, tells).toContain(trueId);
    expect(events, tells).toContain("key id refused");
    count("returns refused");
  }
  if (shownBefore === undefined) return;
  const changes = shown.length - shownBefore;
  count("changes", changes);
  const known = shown.slice(0, shownBefore).includes(trueId);
  count(rotations < 2 ? `${rotations} true changes, counted exactly` : "2 or more true changes, bounded");
  if (rotations === 1) return expect(changes, tells).toBe(known ? 0 : 1);
  if (changes > rotations) count("more changes than true ones");
  // Each of them seen or not yet: brokers that see different ones may show so many ids on the way. See stories.test.ts.
  expect(changes, tells).toBeLessThanOrEqual(2 ** rotations - 1);
  expect(changes, tells).toBeGreaterThanOrEqual(known || rotations === 0 ? 0 : 1);
}
