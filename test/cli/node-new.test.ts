import { mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { parse } from "yaml";

import { parseBrokerConfig } from "../../src/config/parse.ts";
import { run } from "./run.ts";

describe("kekctl node new", () => {
  let dir = "";
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), "kekctl-"));
  });
  afterAll(() => rm(dir, { recursive: true }));

  async function make(name: string, ...more: string[]) {
    const out = join(dir, name);
    const ended = await run(["node", "new", "--cluster", "eu", "--node", "cp-1", "--out", out, ...more]);
    return { ...ended, file: out };
  }

  it.each([
    ["ES256", ["kty", "crv", "x", "y", "kid", "alg", "d"]],
    ["EdDSA", ["kty", "crv", "x", "kid", "alg", "d"]],
  ])("writes a private JWK for %s that its owner alone can read", async (alg, fields) => {
    const { file } = await make(alg, "--alg", alg);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
    const key: object = JSON.parse(await readFile(file, "utf8"));
    expect(Object.keys(key)).toEqual(fields);
    expect(key).toMatchObject({ alg });
  });

  it("prints an entry that the broker's configuration takes, and nothing of the private half", async () => {
    const { file, out, err } = await make("key.json", "--not-after", "2027-11-01T12:00:00Z");
    const { d, x }: { d: string; x: string } = JSON.parse(await readFile(file, "utf8"));
    expect(out).toContain(x);
    expect(out + err).not.toContain(d);
    const entry: { clusters: { eu: object } } = parse(out);
    const config = {
      audience: "https://kek.example.com",
      clusters: { eu: { id: "eu", ...entry.clusters.eu } },
    };
    const { clusters } = parseBrokerConfig(JSON.stringify(config), {
      allowDevelopmentKeys: false,
      listens: true,
    });
    expect(clusters["eu"]?.nodes["cp-1"]?.notAfter).toBe(Date.UTC(2027, 10, 1, 12));
  });

  it("leaves an existing file as it was", async () => {
    const file = join(dir, "mine.json");
    await writeFile(file, "mine");
    expect((await make("mine.json")).code).toBe(2);
    expect(await readFile(file, "utf8")).toBe("mine");
  });

  it("follows no link", async () => {
    await symlink(join(dir, "elsewhere.json"), join(dir, "link.json"));
    expect((await make("link.json")).code).toBe(2);
    await expect(stat(join(dir, "elsewhere.json"))).rejects.toMatchObject({ code: "ENOENT" });
  });
});
