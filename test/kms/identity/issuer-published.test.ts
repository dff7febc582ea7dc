import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { publicPart } from "../../../src/kms/identity/signing-key.ts";
import { initIssuer } from "../../../src/runtime/issuer/init.ts";
import { rotateIssuer } from "../../../src/runtime/issuer/rotate.ts";
import { clock, ISSUER, KEY, newKey, OTHER_KEY, SUBJECT } from "./issuer.ts";

const STRANGER = newKey("stranger");

let folder: string;
let place: { out: string; key: string };

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "kek-published-"));
  place = { out: join(folder, "public"), key: join(folder, "private", "key.json") };
  await mkdir(join(folder, "private"));
});
afterEach(() => rm(folder, { recursive: true }));

const init = () =>
  initIssuer(
    { ...place, url: ISSUER, subject: SUBJECT, dryRun: false },
    { newKey: () => Promise.resolve(KEY) },
  );
const rotate = (answer: () => Response) =>
  rotateIssuer(
    { ...place, dryRun: false, force: false, overlapMs: 0 },
    { now: clock().now, newKey: () => Promise.resolve(OTHER_KEY), fetch: () => Promise.resolve(answer()) },
  );

describe("the next key signs only if what is published", () => {
  const ours = [KEY, OTHER_KEY].map(publicPart);

  beforeEach(async () => {
    await init();
    await rotate(() => Response.error());
  });

  it("is the folder", async () => {
    await expect(rotate(() => Response.json({ keys: ours }))).resolves.toMatchObject({ state: "signing" });
  });

  it.each<[string, object, RegExp]>([
    ["a stranger's key beside ours", publicPart(STRANGER), /not in the folder: "stranger"/],
    [
      "a stranger's key under the name of ours",
      { ...publicPart(STRANGER), kid: OTHER_KEY.kid },
      /not in the folder: "key-2"/,
    ],
    ["ours with another exponent", { ...publicPart(KEY), e: "Aw" }, /not in the folder: "key-1"/],
    ["a key of another kind without a name", { kty: "EC", crv: "P-256" }, /not in the folder: ""/],
  ])("does not have %s", async (_, key, message) => {
    const before = await readFile(place.key, "utf8");
    await expect(rotate(() => Response.json({ keys: [...ours, key] }))).rejects.toThrow(message);
    expect(await readFile(place.key, "utf8")).toBe(before);
  });

  it("is of a size that keys have, and no more than that is read", async () => {
    let sent = 0;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => {
        sent += 16_384;
        if (sent > 4 * 2 ** 20) controller.error(new Error("read too far"));
        else controller.enqueue(new Uint8Array(16_384).fill(0x20));
      },
    });
    await expect(rotate(() => new Response(endless))).rejects.toThrow("does not have the next key");
    expect(sent).toBeLessThan(2 ** 20);
  });
});

it("a file where a temporary one should be is named and left alone", async () => {
  const temporary = `${place.key}.${process.pid}.tmp`;
  await writeFile(temporary, "somebody's");
  await expect(init()).rejects.toThrow(`${temporary} cannot be written (EEXIST)`);
  expect(await readFile(temporary, "utf8")).toBe("somebody's");
});
