import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { readConfigFile, readConfigStream } from "../../src/config/load.ts";
import { MAX_DOCUMENT_LENGTH } from "../../src/wire/document.ts";

describe("reading a configuration file", () => {
  let dir = "";
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "kek-config-"));
  });
  afterAll(() => rm(dir, { recursive: true }));

  async function fileOf(content: string | Uint8Array): Promise<string> {
    const path = join(dir, "config.yaml");
    await writeFile(path, content);
    return path;
  }

  it("gives its text, of any size a configuration can have", async () => {
    await expect(readConfigFile(await fileOf("audience: ü"))).resolves.toBe("audience: ü");
    const largest = "#".repeat(MAX_DOCUMENT_LENGTH);
    await expect(readConfigFile(await fileOf(largest))).resolves.toBe(largest);
  });

  it("refuses one that is larger", async () => {
    const path = await fileOf("#".repeat(MAX_DOCUMENT_LENGTH + 1));
    await expect(readConfigFile(path)).rejects.toMatchObject({ name: "DocumentError" });
  });

  it("stops at a device that never ends", async () => {
    await expect(readConfigFile("/dev/zero")).rejects.toMatchObject({ name: "DocumentError" });
  });

  it("stops at a stream that never ends", async () => {
    let taken = 0;
    const endless = async function* (): AsyncGenerator<Uint8Array> {
      for (;;) {
        taken += 1;
        yield new Uint8Array(65_536);
      }
    };
    await expect(readConfigStream(endless())).rejects.toMatchObject({ name: "DocumentError" });
    expect(taken).toBe(17);
  });

  it("refuses what is not UTF-8", async () => {
    const path = await fileOf(Uint8Array.of(0x61, 0xff));
    await expect(readConfigFile(path)).rejects.toThrow("the file is not UTF-8 text");
  });

  it("passes the system's error on for a file that is not there", async () => {
    await expect(readConfigFile(join(dir, "none.yaml"))).rejects.toMatchObject({ code: "ENOENT" });
    await expect(readConfigFile(dir)).rejects.toMatchObject({ code: "EISDIR" });
  });
});
