import * as fc from "fast-check";
import { expect } from "vitest";

import { BrokerCallError, KmsError } from "../../../src/shim/errors.ts";
import { mustOpen, mustSeal } from "./answers.ts";
import type { BrokerInstance } from "./broker-instance.ts";
import { Command, place, placeAt, type Model } from "./command.ts";
import { requireQuiet } from "./quiet.ts";
import { count } from "./tally.ts";
import { membersIn, type Place, type Sealed, type World } from "./world.ts";

/** All that an apiserver is told when nobody in reach can act. */
const OUT_OF_REACH = /^(Unreachable|DependencyTimeout|KeyUnavailable|Throttled)$/;

export const encrypts = fc
  .tuple(place, fc.uint8Array({ minLength: 1, maxLength: 48 }))
  .map(
    ([index, plaintext]) =>
      new Command(`encrypt ${index}`, (world, model) =>
        encrypt(world, model, placeAt(world, index), plaintext),
      ),
  );

async function encrypt(world: World, model: Model, { shim }: Place, plaintext: Uint8Array): Promise<void> {
  const before = shim.status();
  const must = inReach(world, shim, mustSeal);
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
      if (must) count("encrypts refused for want of a key id, though enough members were in reach");
      return;
    }
    requireOutOfReach(error, must);
    count("encrypts out of reach");
  }
}

export const decrypts = fc.tuple(place, fc.nat()).map(
  ([index, which]) =>
    new Command(`decrypt ${index}`, async (world) => {
      const sealed = world.sealed[which % Math.max(1, world.sealed.length)];
      if (sealed !== undefined) await decrypt(world, placeAt(world, index), sealed);
    }),
);

export const decryptsOfAll = place.map(
  (index) => new Command(`decrypt-all ${index}`, (world) => decryptAll(world, placeAt(world, index))),
);

async function decryptAll(world: World, at: Place): Promise<void> {
  for (const sealed of world.sealed) await decrypt(world, at, sealed);
}

async function decrypt(
  world: World,
  { shim }: Place,
  { ciphertext, plaintext, members }: Sealed,
): Promise<void> {
  const must = inReach(world, shim, (broker) => mustOpen(broker, members));
  count("decrypts");
  try {
    const opened = await shim.decrypt(ciphertext);
    expect(Buffer.from(opened)).toEqual(Buffer.from(plaintext));
  } catch (error) {
    requireOutOfReach(error, must);
    count("decrypts out of reach");
  }
}

/** Whether the shim must end up at a broker that can: at any it knows by name, at one of those behind the balancer. */
function inReach(world: World, shim: Place["shim"], can: (broker: BrokerInstance) => boolean): boolean {
  const { any, brokers } = world.reachable(shim);
  return any ? brokers.some(can) : brokers.length > 0 && brokers.every(can);
}

function requireOutOfReach(error: unknown, must: boolean): void {
  if (!(error instanceof BrokerCallError || error instanceof KmsError)) throw error;
  expect([must, error.code]).toEqual([false, expect.stringMatching(OUT_OF_REACH)]);
}

export const quiets = fc.constant(0).map(
  () =>
    new Command("quiet", async (world) => {
      await requireQuiet(world);
      for (const place of world.places) await decryptAll(world, place);
    }),
);
