import { describe, expect, onTestFinished, test } from "vitest";

import type { MemberName } from "./kek.ts";
import { SEED as DEK, World, type Place } from "./world.ts";

/** Two polls and what they set off. */
const TWO_POLLS_MS = 100_000;
const ALL = ["wrap", "unwrap", "version"] as const;

async function setUp() {
  const world = await World.start(1);
  onTestFinished(() => {
    world.stop();
    world.requireNoComplaint();
  });
  const [one, two, three] = world.brokers;
  const [ordered, balanced] = world.places;
  if (!one || !two || !three || !ordered || !balanced) throw new Error("no world");
  /** All that is asked for is asked there, for two polls and an Encrypt. */
  const leanOn = async (broker: typeof one): Promise<void> => {
    for (const each of world.brokers) each.up = each === broker;
    await ordered.shim.encrypt(DEK);
    await world.pass(TWO_POLLS_MS);
    for (const each of world.brokers) each.up = true;
  };
  const quiet = async (): Promise<string> => {
    world.heal();
    await world.pass(240_000);
    return world.trueId();
  };
  const rotate = (name: MemberName) => world.change(() => void world.clouds[name].rotate());
  return { world, one, two, three, ordered, balanced, leanOn, quiet, rotate };
}

const shown = ({ shim }: Place) => shim.shown;
const keyId = ({ shim }: Place) => shim.status().keyId;

describe("brokers that disagree", () => {
  test("on the configuration: a shim started meanwhile never goes back to the lower epoch, nor gets stuck on it", async () => {
    const { world, one, two, ordered, leanOn, quiet } = await setUp();
    world.setup = { ...world.setup, epoch: 1 };
    one.reload(world.setup);
    await world.restartShim(ordered);
    await leanOn(two);
    expect(keyId(ordered)).toMatch(/\.1\./);
    expect(await quiet()).toBe(keyId(ordered));
    expect(shown(ordered)).toHaveLength(1);
  });

  test("on a version: a shim started meanwhile is not stuck on an id that nothing was sealed under", async () => {
    const { world, one, two, ordered, leanOn, quiet, rotate } = await setUp();
    const before = world.clouds.aws.primary;
    for (const broker of [one, two]) broker.lag("aws", "sealing", { kind: "behind", at: before });
    two.lag("aws", "reading", { kind: "behind", at: before });
    await rotate("aws");
    await world.pass(31_000);
    await world.restartShim(ordered);
    await leanOn(two);
    expect(shown(ordered)).toHaveLength(2);
    expect(await quiet()).toBe(keyId(ordered));
  });

  test("on two keys at once, each seeing the other's rotation alone: one change more than rotations, none back", async () => {
    const { world, one, two, ordered, leanOn, quiet, rotate } = await setUp();
    await world.pass(31_000);
    for (const what of ["reading", "sealing"] as const) {
      one.lag("gcp", what, { kind: "behind", at: world.clouds.gcp.primary });
      two.lag("aws", what, { kind: "behind", at: world.clouds.aws.primary });
    }
    await rotate("aws");
    await rotate("gcp");
    await world.pass(31_000);
    await leanOn(one);
    await leanOn(two);
    expect(await quiet()).toBe(keyId(ordered));
    expect(shown(ordered)).toHaveLength(4);
    expect(new Set(shown(ordered)).size).toBe(4);
  });

  test("for good, asked in turns: the id stays, and the one that can read everything wins once it is alone", async () => {
    const { world, one, two, three, ordered, balanced, quiet, rotate } = await setUp();
    const before = keyId(ordered);
    two.fail("aws", ALL, { code: "Unavailable", after: false });
    await rotate("aws");
    three.up = false;
    await world.pass(3_600_000);
    expect(keyId(balanced)).toBe(before);
    expect(shown(ordered)).toHaveLength(2);
    two.up = false;
    await world.pass(TWO_POLLS_MS);
    expect(keyId(balanced)).toBe(keyId(ordered));
    two.up = true;
    one.up = false;
    await world.pass(TWO_POLLS_MS);
    expect([keyId(ordered), keyId(balanced)]).toEqual([await world.trueId(), await world.trueId()]);
    expect(await quiet()).toBe(keyId(balanced));
    expect([shown(ordered).length, shown(balanced).length]).toEqual([2, 2]);
  });
});

describe("a cloud that seals with the old version for a while", () => {
  test("and cannot seal at all meanwhile: wraps without it are no sign of its new version", async () => {
    const { world, ordered, quiet, rotate } = await setUp();
    const before = keyId(ordered);
    await ordered.shim.encrypt(DEK);
    await world.pass(TWO_POLLS_MS);
    for (const broker of world.brokers)
      broker.lag("aws", "sealing", { kind: "behind", at: world.clouds.aws.primary });
    await rotate("aws");
    await world.pass(TWO_POLLS_MS);
    for (const broker of world.brokers) broker.fail("aws", ["wrap"], { code: "Throttled", after: false });
    await ordered.shim.encrypt(DEK);
    await world.pass(TWO_POLLS_MS);
    expect(keyId(ordered)).toBe(before);
    expect(await quiet()).not.toBe(before);
    expect(keyId(ordered)).toBe(await world.trueId());
    expect(shown(ordered)).toHaveLength(2);
  });

  test("a rotation elsewhere is still seen while one cloud is away", async () => {
    const { world, ordered, balanced, rotate } = await setUp();
    await ordered.shim.encrypt(DEK);
    await balanced.shim.encrypt(DEK);
    for (const broker of world.brokers) broker.fail("aws", ALL, { code: "Unavailable", after: false });
    await rotate("gcp");
    await world.pass(240_000);
    for (const place of [ordered, balanced]) {
      expect(keyId(place)).toBe(await world.trueId());
      expect(shown(place)).toHaveLength(2);
    }
  });
});

describe("a broker that lost its memory while a cloud is away", () => {
  test("says null, and a shim keeps what it has", async () => {
    const { world, ordered, balanced } = await setUp();
    for (const broker of world.brokers) {
      broker.fail("az", ALL, { code: "Unavailable", after: false });
      broker.restart(world.setup);
    }
    await world.pass(240_000);
    for (const place of [ordered, balanced]) {
      expect(place.shim.status()).toEqual({ version: "v2", healthz: "ok", keyId: await world.trueId() });
      const { keyId: id, ciphertext } = await place.shim.encrypt(DEK);
      expect(id).toBe(await world.trueId());
      expect(Buffer.from(await place.shim.decrypt(ciphertext))).toEqual(DEK);
    }
  });

  test("and a shim that starts then cannot encrypt, until the member is retired or back; it can decrypt", async () => {
    const { world, ordered, balanced } = await setUp();
    const { ciphertext } = await ordered.shim.encrypt(DEK);
    for (const broker of world.brokers) {
      broker.fail("az", ALL, { code: "Unavailable", after: false });
      broker.restart(world.setup);
    }
    await world.restartShim(balanced);
    await world.pass(TWO_POLLS_MS);
    expect(balanced.shim.status().keyId).toBe("");
    await expect(balanced.shim.encrypt(DEK)).rejects.toMatchObject({ code: "NotReady" });
    expect(Buffer.from(await balanced.shim.decrypt(ciphertext))).toEqual(DEK);
    world.setup = { epoch: 1, wrapping: ["aws", "gcp"] };
    for (const broker of world.brokers) broker.reload(world.setup);
    await world.pass(45_000);
    expect(keyId(balanced)).toBe(await world.trueId());
    await balanced.shim.encrypt(DEK);
  });
});
