import * as fc from "fast-check";

import type { CloudCall, CloudFault } from "../fake-cloud.ts";
import { brokersAt, Command, member, place, placeAt, where } from "./command.ts";
import { SEED } from "./world.ts";

/** What must not change the id. */

export const passes = fc
  .constantFrom(1, 15, 31, 45, 100, 300, 1_200)
  .map((seconds) => new Command(`pass ${seconds}s`, (world) => world.pass(seconds * 1_000)));

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

export const failures = fc.tuple(member, where, calls, fault).map(
  ([name, at, some, how]) =>
    new Command(
      `fail ${name} at ${at}: ${some.join("+")} ${how.code} ${how.after ? "after" : "before"}`,
      (world) => {
        for (const broker of brokersAt(world, at)) broker.fail(name, some, how);
      },
    ),
);

export const heals = member.map(
  (name) =>
    new Command(`heal ${name}`, (world) => {
      for (const broker of world.brokers) broker.heal(name);
    }),
);

export const restarts = where.map(
  (at) =>
    new Command(`restart-broker ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.restart(broker.setup);
    }),
);

export const switches = fc.tuple(fc.nat(2), fc.boolean()).map(
  ([at, up]) =>
    new Command(`broker-${up ? "up" : "down"} ${at}`, (world) => {
      for (const broker of brokersAt(world, at)) broker.up = up;
    }),
);

/** Two polls and an Encrypt at one broker alone: what the others think does not show. */
export const leanings = fc.nat(2).map(
  (at) =>
    new Command(`lean-on ${at}`, async (world) => {
      const before = world.brokers.map(({ up }) => up);
      world.brokers.forEach((broker, index) => (broker.up = index === at));
      await world.pass(50_000);
      for (const { shim } of world.places) await shim.encrypt(SEED).catch(() => {});
      await world.pass(50_000);
      world.brokers.forEach((broker, index) => (broker.up = before[index] === true));
    }),
);

export const shimRestarts = place.map(
  (index) => new Command(`restart-shim ${index}`, (world) => world.restartShim(placeAt(world, index))),
);
