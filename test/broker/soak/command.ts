import * as fc from "fast-check";
import { expect } from "vitest";

import type { BrokerInstance } from "./broker-instance.ts";
import { MEMBERS } from "./kek.ts";
import { count } from "./tally.ts";
import type { Place, World } from "./world.ts";

/** What is planned; the world holds the truth. */
export interface Model {
  sealed: number;
}

/** One step, at any time. Whatever it was, no shim may have gone back to an id that it left. */
export class Command implements fc.AsyncCommand<Model, World> {
  readonly #name: string;
  readonly #step: (world: World, model: Model) => Promise<void> | void;

  constructor(name: string, step: (world: World, model: Model) => Promise<void> | void) {
    this.#name = name;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, world: World): Promise<void> {
    count("commands");
    count(`command ${this.#name.split(" ")[0] ?? ""}`);
    try {
      await this.#step(world, model);
    } finally {
      world.requireNoComplaint();
    }
    for (const { shim } of world.places) requireNoReturn(shim.shown);
  }

  toString(): string {
    return this.#name;
  }
}

/** But to its first one, if nothing was sealed under it; `requireQuiet` counts those changes too. */
function requireNoReturn([first, ...rest]: readonly string[]): void {
  expect(new Set(rest).size, [first, ...rest].join(" → ")).toBe(rest.length);
}

export const member = fc.constantFrom(...MEMBERS);
export const place = fc.nat(1);
/** One broker, or all of them. */
export const where = fc.constantFrom(0, 1, 2, "all" as const);

export function brokersAt(world: World, at: number | "all"): readonly BrokerInstance[] {
  return world.brokers.filter((_, index) => at === "all" || index === at);
}

export function placeAt(world: World, index: number): Place {
  const place = world.places[index];
  if (place === undefined) throw new Error("no such place");
  return place;
}
