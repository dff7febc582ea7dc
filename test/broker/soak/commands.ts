import * as fc from "fast-check";
import { expect } from "vitest";

import { BrokerCallError, KmsError } from "../../../src/shim/errors.ts";
import { NO_LAG, type CloudCall, type CloudFault, type Lag } from "../fake-cloud.ts";
import { mustOpen, mustSeal, SYMMETRIC } from "./answers.ts";
import type { BrokerInstance } from "./broker-instance.ts";
import { MEMBERS } from "./kek.ts";
import { requireQuiet } from "./quiet.ts";
import { count } from "./tally.ts";
import { membersIn, type Place, type Sealed, type World } from "./world.ts";

/** What is planned; the world holds the truth. */
export interface Model {
  sealed: number;
}

type Step = (world: World, model: Model) => Promise<void> | void;

class Command implements fc.AsyncCommand<Model, World> {
  readonly #name: string;
  readonly #step: Step;

  constructor(name: string, step: Step) {
    this.#name = name;
    this.#step = step;
  }

  check(): boolean {
    return true;
  }

  async run(model: Model, world: World): Promise<void> {
    count("commands");
    count(this.#name.split(" ")[0] ?? "");
    await this.#step(world, model);
    for (const { shim } of world.places) requireNoReturn(shim.shown);
  }

  toString(): string {
    return this.#name;
  }
}

/** No id comes back once it was left: that would be flapping. */
function requireNoReturn(shown: readonly string[]): void {
  expect(new Set(shown).size, shown.join(" → ")).toBe(shown.length);
}

const member = fc.constantFrom(...MEMBERS);
const place = fc.nat(1);
/** One broker, or all of them. */
const where = fc.constantFrom(0, 1, 2, "all" as const);
const fault: fc.Arbitrary<CloudFault> = fc.record({
  code: fc.constantFrom("Unavailable", "Timeout", "Throttled", "KeyUnavailable", "AccessDenied"),
  after: fc.boolean(),
});
const calls: fc.Arbitrary<readonly CloudCall[]> = fc.constantFrom(
  ["wrap", "unwrap", "version"] as const,
  ["wrap", "unwrap", "version"] as const,
  ["wrap"] as const,
  ["unwrap"] as const,
  ["version"] as const,
);

function brokersAt(world: World, at: number | "all"): readonly BrokerInstance[] {
  return world.brokers.filter((_, index) => at === "all" || index === at);
}

function placeAt(world: World, index: number): Place {
  const place = world.places[index];
  if (place === undefined) throw new Error("no such place");
  return place;
}

const passes = fc
  .constantFrom(1, 15, 31, 45, 100, 300, 1_200)
  .map((seconds) => new Command(`pass ${seconds}s`, (world) => world.pass(seconds * 1_000)));

const rotates = member.map(
  (name) =>
    new Command(`rotate ${name}`, async (world) => {
      world.clouds[name].rotate();
      await changed(world);
    }),
);

const setsBack = member.map(
  (name) =>
    new Command(`set-back ${name}`, async (world) => {
      const cloud = world.clouds[name];
      cloud.primary = cloud.versions.at(Math.max(0, cloud.versions.indexOf(cloud.primary) - 1)) ?? "";
      await changed(world);
    }),
);

const raisesEpoch = fc.constant(0).map(
  () =>
    new Command("raise-epoch", async (world) => {
      world.setup = { ...world.setup, epoch: world.setup.epoch + 1 };
      await changed(world);
    }),
);

const setsBackProperly = member.map(
  (name) =>
    new Command(`set-back-with-epoch ${name}`, async (world) => {
      const cloud = world.clouds[name];
      cloud.primary = cloud.versions[0] ?? "";
      world.setup = { ...world.setup, epoch: world.setup.epoch + 1 };
      for (const broker of world.brokers) broker.reload(world.setup);
      await changed(world);
    }),
);

const toggles = member.map(
  (name) =>
    new Command(`toggle ${name}`, async (world) => {
      const { epoch, wrapping } = world.setup;
      const next = MEMBERS.filter((each) => wrapping.includes(each) !== (each === name));
      if (!next.some((each) => SYMMETRIC.includes(each))) return;
      world.setup = { epoch: epoch + 1, wrapping: next };
      await changed(world);
    }),
);

async function changed(world: World): Promise<void> {
  const before = world.rotations;
  await world.noteTruth();
  count("true changes", world.rotations - before);
  for (const broker of world.brokers) broker.stirredAt = world.now;
}

const reloads = where.map(
  (at) =>
    new Command(`reload ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.reload(world.setup);
    }),
);

const restarts = where.map(
  (at) =>
    new Command(`restart-broker ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.restart(world.setup);
    }),
);

const switches = fc.tuple(fc.nat(2), fc.boolean()).map(
  ([at, up]) =>
    new Command(`broker-${up ? "up" : "down"} ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.up = up;
    }),
);

const fails = fc.tuple(member, where, calls, fault).map(
  ([name, at, some, how]) =>
    new Command(`fail ${name} at ${at}: ${some.join("+")} ${how.code} ${how.after ? "after" : "before"}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.fail(name, some, how);
    }),
);

const heals = member.map(
  (name) =>
    new Command(`heal ${name}`, (world) => {
      for (const broker of world.brokers) broker.heal(name);
    }),
);

const lags = fc
  .tuple(member, where, fc.constantFrom("reading", "sealing", "both"), fc.constantFrom("behind", "mixed", "none"))
  .map(
    ([name, at, what, kind]) =>
      new Command(`lag ${name} at ${at}: ${what} ${kind}`, (world) => {
        const lag: Lag = kind === "none" ? NO_LAG : { kind, at: world.clouds[name].primary };
        for (const broker of brokersAt(world, at)) {
          if (what !== "sealing") broker.lag(name, "reading", lag);
          if (what !== "reading") broker.lag(name, "sealing", lag);
        }
      }),
  );

const restartsShim = place.map(
  (index) => new Command(`restart-shim ${index}`, (world) => world.restartShim(placeAt(world, index))),
);

const encrypts = fc
  .tuple(place, fc.uint8Array({ minLength: 1, maxLength: 48 }))
  .map(
    ([index, plaintext]) =>
      new Command(`encrypt ${index}`, (world, model) => encrypt(world, model, placeAt(world, index), plaintext)),
  );

async function encrypt(world: World, model: Model, { shim }: Place, plaintext: Uint8Array): Promise<void> {
  const before = shim.status();
  const { any, brokers } = world.reachable(shim);
  const must = any ? brokers.some(mustSeal) : brokers.length > 0 && brokers.every(mustSeal);
  try {
    const { ciphertext, keyId } = await shim.encrypt(plaintext);
    expect(keyId).toBe(before.keyId);
    world.sealed.push({ ciphertext, plaintext, members: membersIn(ciphertext) });
    model.sealed += 1;
    count("sealed");
  } catch (error) {
    if (before.keyId === "") {
      expect(error).toMatchObject({ code: "NotReady" });
      count("encrypts refused for want of a key id");
      return;
    }
    if (!(error instanceof BrokerCallError || error instanceof KmsError)) throw error;
    expect([must, error.code]).toEqual([false, expect.stringMatching(OUT_OF_REACH)]);
  }
}

const OUT_OF_REACH = /^(Unreachable|DependencyTimeout|KeyUnavailable|Throttled)$/;

const decrypts = fc
  .tuple(place, fc.nat())
  .map(
    ([index, which]) =>
      new Command(`decrypt ${index}`, async (world) => {
        const sealed = world.sealed[which % Math.max(1, world.sealed.length)];
        if (sealed !== undefined) await decrypt(world, placeAt(world, index), sealed);
      }),
  );

async function decrypt(world: World, { shim }: Place, { ciphertext, plaintext, members }: Sealed): Promise<void> {
  const { any, brokers } = world.reachable(shim);
  const opens = (broker: BrokerInstance): boolean => mustOpen(broker, members);
  const must = any ? brokers.some(opens) : brokers.length > 0 && brokers.every(opens);
  count("decrypts");
  try {
    const opened = await shim.decrypt(ciphertext);
    expect(Buffer.from(opened)).toEqual(Buffer.from(plaintext));
  } catch (error) {
    if (!(error instanceof BrokerCallError)) throw error;
    expect([must, error.code]).toEqual([false, expect.stringMatching(OUT_OF_REACH)]);
    count("decrypts out of reach");
  }
}

const decryptsAll = place.map(
  (index) =>
    new Command(`decrypt-all ${index}`, async (world) => {
      for (const sealed of world.sealed) await decrypt(world, placeAt(world, index), sealed);
    }),
);

const quiets = fc.constant(0).map(
  () =>
    new Command("quiet", async (world) => {
      await requireQuiet(world);
      for (const place of world.places) {
        for (const sealed of world.sealed) await decrypt(world, place, sealed);
      }
    }),
);

const every: readonly [number, fc.Arbitrary<Command>][] = [
  [10, passes],
  [4, rotates],
  [1, setsBack],
  [1, raisesEpoch],
  [1, setsBackProperly],
  [1, toggles],
  [2, reloads],
  [2, restarts],
  [3, switches],
  [6, fails],
  [3, heals],
  [6, lags],
  [1, restartsShim],
  [8, encrypts],
  [4, decrypts],
  [1, decryptsAll],
  [5, quiets],
];

export function anyCommands(maxCommands: number): fc.Arbitrary<Iterable<fc.AsyncCommand<Model, World>>> {
  const weighted = every.flatMap(([weight, arbitrary]) => Array.from({ length: weight }, () => arbitrary));
  return fc.commands(weighted, { maxCommands, size: "max" });
}
