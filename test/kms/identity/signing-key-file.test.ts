import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { nodePlatform } from "../../../src/runtime/platform-node.ts";
import { ISSUER, KEY, SUBJECT } from "./issuer.ts";

const { signal } = new AbortController();
let folder: string;
let keyFile: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "kek-key-file-"));
  keyFile = join(folder, "key.json");
  await writeFile(keyFile, JSON.stringify(KEY));
});
afterAll(() => rm(folder, { recursive: true }));

const start = () => nodePlatform({}).identity({ issuer: { url: ISSUER, subject: SUBJECT, keyFile } });

describe("a signing key's file", () => {
  it.each([0o600, 0o400])("is taken if its owner alone may read it: %o", async (mode) => {
    await chmod(keyFile, mode);
    await expect((await start())("an-audience", signal)).resolves.toMatch(/^ey/);
  });

  it.each([0o640, 0o604, 0o644, 0o620])(
    "is refused at start if others may, as the shim does: %o",
    async (mode) => {
      await chmod(keyFile, mode);
      await expect(start()).rejects.toMatchObject({
        name: "DocumentError",
        issues: [{ path: "identity.issuer", message: expect.stringContaining("chmod 0600") }],
      });
    },
  );

  it("is refused with the next token if others may by then", async () => {
    await chmod(keyFile, 0o600);
    const identity = await start();
    await chmod(keyFile, 0o644);
    await expect(identity("an-audience", signal)).rejects.toMatchObject({ code: "AccessDenied" });
  });
});
