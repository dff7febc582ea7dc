import * as fc from "fast-check";

import { CLOUD_KINDS, NO_LAG, type Lag } from "../fake-cloud.ts";
import { brokersAt, Command, member, where } from "./command.ts";
import { MEMBERS, type MemberName } from "./kek.ts";
import type { World } from "./world.ts";

/** What changes the id, if all goes well: keys, and the configuration. And how late clouds and brokers hear of it. */

export const rotations = member.map(
  (name) => new Command(`rotate ${name}`, (world) => world.change(() => void world.clouds[name].rotate())),
);

const what = fc.constantFrom("reading", "sealing", "both");
const how = fc.constantFrom("behind", "mixed");

function setLag(world: World, name: MemberName, at: number | "all", part: string, lag: Lag): void {
  for (const broker of brokersAt(world, at)) {
    if (part !== "sealing") broker.lag(name, "reading", lag);
    if (part !== "reading") broker.lag(name, "sealing", lag);
  }
}

export const slowRotations = fc.tuple(member, where, what, how).map(
  ([name, at, part, kind]) =>
    new Command(`rotate-slowly ${name} at ${at}: ${part} ${kind}`, async (world) => {
      setLag(world, name, at, part, { kind, at: world.clouds[name].primary });
      await world.change(() => void world.clouds[name].rotate());
    }),
);

export const lags = fc
  .tuple(member, where, what, how)
  .map(
    ([name, at, part, kind]) =>
      new Command(`lag ${name} at ${at}: ${part} ${kind}`, (world) =>
        setLag(world, name, at, part, { kind, at: world.clouds[name].primary }),
      ),
  );

export const catchUps = fc
  .tuple(member, where, what)
  .map(
    ([name, at, part]) =>
      new Command(`catch-up ${name} at ${at}: ${part}`, (world) => setLag(world, name, at, part, NO_LAG)),
  );

export const returns = member.map(
  (name) => new Command(`set-back ${name}`, (world) => world.change(() => setBack(world, name))),
);

export const properReturns = member.map(
  (name) =>
    new Command(`set-back-with-epoch ${name}`, (world) =>
      world.change(() => {
        setBack(world, name);
        world.setup = { ...world.setup, epoch: world.setup.epoch + 1 };
        for (const broker of world.brokers) broker.reload(world.setup);
      }),
    ),
);

function setBack(world: World, name: MemberName): void {
  const cloud = world.clouds[name];
  cloud.primary = cloud.versions.at(Math.max(0, cloud.versions.indexOf(cloud.primary) - 1)) ?? "";
}

export const epochs = fc.constant(0).map(
  () =>
    new Command("raise-epoch", (world) =>
      world.change(() => {
        world.setup = { ...world.setup, epoch: world.setup.epoch + 1 };
      }),
    ),
);

/** A member is promoted or retired; one symmetric member always wraps. */
export const promotions = member.map(
  (name) =>
    new Command(`promote-or-retire ${name}`, async (world) => {
      const { epoch, wrapping } = world.setup;
      const next = MEMBERS.filter((each) => wrapping.includes(each) !== (each === name));
      if (!next.some((each) => CLOUD_KINDS[each].symmetric)) return;
      await world.change(() => {
        world.setup = { epoch: epoch + 1, wrapping: next };
      });
    }),
);

export const reloads = where.map(
  (at) =>
    new Command(`reload ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.reload(world.setup);
    }),
);
