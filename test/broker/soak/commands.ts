import * as fc from "fast-check";

import * as changes from "./changes.ts";
import type { Command, Model } from "./command.ts";
import * as troubles from "./troubles.ts";
import * as uses from "./uses.ts";
import type { World } from "./world.ts";

const WEIGHTS: readonly (readonly [number, fc.Arbitrary<Command>])[] = [
  [12, troubles.passes],
  [8, troubles.failures],
  [3, troubles.heals],
  [2, troubles.restarts],
  [3, troubles.switches],
  [5, troubles.leanings],
  [2, troubles.shimRestarts],
  [3, changes.rotations],
  [6, changes.slowRotations],
  [2, changes.lags],
  [3, changes.catchUps],
  [1, changes.returns],
  [1, changes.properReturns],
  [1, changes.epochs],
  [1, changes.promotions],
  [2, changes.reloads],
  [8, uses.encrypts],
  [4, uses.decrypts],
  [3, uses.decryptsOfAll],
  [4, uses.quiets],
];

export function anyCommands(maxCommands: number): fc.Arbitrary<Iterable<fc.AsyncCommand<Model, World>>> {
  const weighted = WEIGHTS.flatMap(([weight, command]) => Array.from({ length: weight }, () => command));
  return fc.commands(weighted, { maxCommands, size: "max" });
}
