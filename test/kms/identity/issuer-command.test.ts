import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { Command } from "@commander-js/extra-typings";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";
import * as z from "zod";

import { parseBrokerConfig } from "../../../src/config/parse.ts";
import { createSelfSigned } from "../../../src/kms/identity/self-signed.ts";
import { importSigningKey } from "../../../src/kms/identity/signing-key.ts";
import { addIssuerCommand } from "../../../src/runtime/issuer/command.ts";
import { newSigningKey } from "../../../src/runtime/issuer/documents.ts";
import { initIssuer } from "../../../src/runtime/issuer/init.ts";
import { rotateIssuer } from "../../../src/runtime/issuer/rotate.ts";
import { trustOf } from "../../../src/runtime/issuer/trust.ts";
import { CLOUDS, EXCHANGES, FAKES } from "./clouds.ts";
import { clock, ISSUER, newKey, SUBJECT } from "./issuer.ts";

const HOUR_S = 3600;
const OVERLAP_S = 24 * HOUR_S;

let folder: string;
let place: { out: string; key: string };

beforeEach(async () => {
  made = 0;
  folder = await mkdtemp(join(tmpdir(), "kek-issuer-"));
  place = { out: join(folder, "public"), key: join(folder, "private", "key.json") };
  await mkdir(join(folder, "private"));
});

afterEach(() => rm(folder, { recursive: true }));

/** Making keys takes time, and these do as well as new ones. */
const KEYS = ["key-a", "key-b", "key-c"].map(newKey);
let made: number;
const nextKey = () => Promise.resolve(KEYS[made++ % KEYS.length] ?? newKey("more"));

const init = (more: object = {}, makeKey = nextKey) =>
  initIssuer({ ...place, url: ISSUER, subject: SUBJECT, dryRun: false, ...more }, { newKey: makeKey });
const jsonIn = async (file: string) => JSON.parse(await readFile(file, "utf8")) as Record<string, unknown>;
const allFiles = async () => (await readdir(folder, { recursive: true })).sort();

/** What the world sees of the folder, as it was when it was published last. */
function world(now: () => number) {
  let documents: Record<string, unknown> = {};
  const read = (file: string) => jsonIn(join(place.out, file));
  return {
    publish: async () => {
      const files = [".well-known/openid-configuration", "jwks.json"];
      documents = Object.fromEntries(
        await Promise.all(files.map(async (file) => [`${ISSUER}/${file}`, await read(file)] as const)),
      );
    },
    fetch: (url: string): Promise<Response> => {
      const document = documents[url];
      return Promise.resolve(
        document === undefined ? new Response(null, { status: 404 }) : Response.json(document),
      );
    },
    now,
    newKey: nextKey,
  };
}

describe("kek-broker issuer init", () => {
  it("writes a key for its owner alone, and documents that say where the keys are", async () => {
    const { kid, written } = await init();
    const mode = (await stat(place.key)).mode & 0o777;
    expect([mode, (await stat(join(place.out, "jwks.json"))).mode & 0o777]).toEqual([0o600, 0o644]);
    expect(await jsonIn(join(place.out, ".well-known/openid-configuration"))).toMatchObject({
      issuer: ISSUER,
      jwks_uri: `${ISSUER}/jwks.json`,
      id_token_signing_alg_values_supported: ["RS256"],
    });
    expect((await jsonIn(join(place.out, "jwks.json")))["keys"]).toEqual([
      { kty: "RSA", n: expect.any(String), e: "AQAB", kid, alg: "RS256", use: "sig" },
    ]);
    expect(written).toHaveLength(3);
  });

  it("publishes no private part", async () => {
    await init();
    const { d, p, q } = await jsonIn(place.key);
    const published = await readFile(join(place.out, "jwks.json"), "utf8");
    for (const part of [d, p, q]) expect(published).not.toContain(String(part).slice(0, 16));
  });

  it("makes a key of 3072 bits that is called by its thumbprint and fits a Worker's secret", async () => {
    const { kid } = await init({}, newSigningKey);
    const { n } = await jsonIn(place.key);
    expect(Buffer.from(String(n), "base64url")).toHaveLength(384);
    expect(kid).toMatch(/^[\w-]{43}$/);
    expect((await stat(place.key)).size).toBeLessThan(5000);
    await expect(importSigningKey(await readFile(place.key, "utf8"))).resolves.toMatchObject({ kid });
  }, 60_000);

  it("leaves alone what is there", async () => {
    await init();
    const before = await readFile(place.key, "utf8");
    await expect(init()).rejects.toThrow("exists and is left alone");
    expect(await readFile(place.key, "utf8")).toBe(before);
  });

  it("writes nothing in a dry run, and says what it would", async () => {
    const { text, written } = await init({ dryRun: true });
    expect(await allFiles()).toEqual(["private"]);
    expect(text[0]).toBe("Would be written:");
    expect(written).toContain(place.key);
  });

  it.each([
    ["in it", () => join(place.out, "key.json")],
    ["deep in it", () => join(place.out, "a", "b", "key.json")],
    ["beside it by another way", () => join(folder, "link", "key.json")],
  ])("refuses a key %s, where it would be published", async (_name, key) => {
    await mkdir(place.out);
    await symlink(place.out, join(folder, "link"));
    await expect(init({ key: key() })).rejects.toThrow("--key is in --out");
    expect(await readdir(place.out)).toEqual([]);
  });

  it("takes a folder whose name begins as the other's", async () => {
    await mkdir(`${place.out}-private`);
    await expect(init({ key: `${place.out}-private/key.json` })).resolves.toBeDefined();
  });

  it("says which file could not be written", async () => {
    await expect(init({ key: join(folder, "nowhere", "key.json") })).rejects.toThrow(/nowhere.*\(ENOENT\)/);
  });
});

describe("kek-broker issuer rotate", () => {
  const rotate = (time: ReturnType<typeof world>, more: object = {}) =>
    rotateIssuer({ ...place, dryRun: false, force: false, overlapMs: OVERLAP_S * 1000, ...more }, time);

  it("goes from next to signing to done, and says when the next step may be taken", async () => {
    const { now, pass } = clock();
    const seen = world(now);
    const { kid: first } = await init();
    await seen.publish();
    const next = await rotate(seen);
    const second = next.published[1];
    expect(next).toMatchObject({ state: "next", kid: first, published: [first, second] });
    expect(next.notBefore).toBe(new Date(now() + OVERLAP_S * 1000).toISOString());
    await seen.publish();
    pass(OVERLAP_S);
    const signing = await rotate(seen);
    expect(signing).toMatchObject({ state: "signing", kid: second, published: [first, second] });
    pass(OVERLAP_S);
    const done = await rotate(seen);
    expect(done).toMatchObject({ state: "done", kid: second, published: [second] });
    expect(done.notBefore).toBeUndefined();
    expect(await readdir(join(folder, "private"))).toEqual(["key.json"]);
    expect((await jsonIn(place.key))["kid"]).toBe(second);
  });

  it("keeps the next key for its owner alone, out of the published folder", async () => {
    const seen = world(clock().now);
    await init();
    await rotate(seen);
    expect((await stat(`${place.key}.next`)).mode & 0o777).toBe(0o600);
    const { d } = await jsonIn(`${place.key}.next`);
    expect(await readFile(join(place.out, "jwks.json"), "utf8")).not.toContain(String(d).slice(0, 16));
  });

  it("refuses a step that is too early, and changes nothing", async () => {
    const { now, pass } = clock();
    const seen = world(now);
    await init();
    await rotate(seen);
    await seen.publish();
    const before = await readFile(place.key, "utf8");
    pass(OVERLAP_S - 1);
    await expect(rotate(seen)).rejects.toThrow(/too early for the next step: not before 2027-01-16T/);
    expect(await readFile(place.key, "utf8")).toBe(before);
    pass(1);
    await rotate(seen);
    pass(OVERLAP_S - 1);
    await expect(rotate(seen)).rejects.toThrow("too early");
    expect((await jsonIn(join(place.out, "jwks.json")))["keys"]).toHaveLength(2);
  });

  it("refuses to sign by a key that the world does not see", async () => {
    const { now, pass } = clock();
    const seen = world(now);
    await init();
    await seen.publish();
    await rotate(seen);
    pass(OVERLAP_S);
    await expect(rotate(seen)).rejects.toThrow("does not have the next key");
    const unreachable = { ...seen, fetch: () => Promise.reject(new Error("no route")) };
    await expect(rotate(unreachable)).rejects.toThrow("does not have the next key");
    await expect(rotate(unreachable, { force: true })).resolves.toMatchObject({ state: "signing" });
  });

  it("writes nothing in a dry run, whatever the step", async () => {
    const { now, pass } = clock();
    const seen = world(now);
    await init();
    const steps = ["next", "signing", "done"];
    for (const state of steps) {
      const before = await allFiles();
      const key = await readFile(place.key, "utf8");
      expect(await rotate(seen, { dryRun: true })).toMatchObject({ state });
      expect(await allFiles()).toEqual(before);
      expect(await readFile(place.key, "utf8")).toBe(key);
      await rotate(seen);
      await seen.publish();
      pass(OVERLAP_S);
    }
  });

  it("goes on where it broke off, with the same next key", async () => {
    const seen = world(clock().now);
    await init();
    await rotate(seen);
    const { kid } = await jsonIn(`${place.key}.next`);
    // As if the key had been written, and the power had gone before the document was.
    const jwks = await jsonIn(join(place.out, "jwks.json"));
    const keys = (jwks["keys"] as { kid: string }[]).filter((key) => key.kid !== kid);
    await writeFile(join(place.out, "jwks.json"), JSON.stringify({ keys }));
    expect(await rotate(seen)).toMatchObject({ state: "next", published: [keys[0]?.kid, kid] });
  });

  it("waits from now on when nobody knows since when", async () => {
    const { now, pass } = clock();
    const seen = world(now);
    await init();
    await rotate(seen);
    await seen.publish();
    pass(10 * OVERLAP_S);
    await rm(`${place.key}.rotation`);
    await expect(rotate(seen)).rejects.toThrow("too early");
    pass(OVERLAP_S);
    await expect(rotate(seen)).resolves.toMatchObject({ state: "signing" });
  });

  it.each([
    ["there is no key", () => rm(place.key), "is not there: begin with kek-broker issuer init"],
    ["the key is none", () => writeFile(place.key, "{}"), "is no signing key"],
    ["the folder is another", () => rm(join(place.out, "jwks.json")), "is no folder of kek-broker issuer"],
    ["a file cannot be read", () => mkdir(`${place.key}.next`), "cannot be read (EISDIR)"],
  ])("says so when %s", async (_name, spoil, message) => {
    await init();
    await spoil();
    await expect(rotate(world(clock().now))).rejects.toThrow(message);
  });

  describe.each(CLOUDS)("under a live %s that believes keys for a day", (cloud) => {
    /** Tokens each hour, by the key that is in the file then, for as long as the rotation takes. */
    async function live(
      step: (hour: number, seen: ReturnType<typeof world>) => Promise<unknown>,
      hours: number,
    ) {
      const { now, pass } = clock();
      const seen = world(now);
      await init();
      await seen.publish();
      const trusted = { issuer: ISSUER, fetch: seen.fetch, keepKeysMs: OVERLAP_S * 1000 };
      const fake = FAKES[cloud]({ trusted, now });
      const key = async () => importSigningKey(await readFile(place.key, "utf8"));
      const identity = createSelfSigned({ url: ISSUER, subject: SUBJECT, key, now });
      const refused: number[] = [];
      for (let hour = 0; hour < hours; hour += 1) {
        await step(hour, seen);
        await EXCHANGES[cloud]({ fetch: fake.handle, now, identity }).catch(() => refused.push(hour));
        pass(HOUR_S);
      }
      return refused;
    }

    it("refuses no token on the way", async () => {
      const states: string[] = [];
      const refused = await live(async (_hour, seen) => {
        await rotate(seen).then(
          ({ state }) => states.push(state),
          () => {},
        );
        await seen.publish();
      }, 72);
      expect(states).toEqual(["next", "signing", "done", "next"]);
      expect(refused).toEqual([]);
    });

    it("would refuse some without the wait, which is what the wait is for", async () => {
      const refused = await live(async (hour, seen) => {
        if (hour === 1 || hour === 2) await rotate(seen, { force: true });
        await seen.publish();
      }, 30);
      expect(refused.length).toBeGreaterThan(0);
    });
  });
});

describe("the command line", () => {
  async function run(...args: readonly string[]): Promise<string> {
    const lines: string[] = [];
    const program = new Command("kek-broker").exitOverride().configureOutput({ writeErr: () => {} });
    addIssuerCommand(program, (line) => void lines.push(line));
    await program.parseAsync(["issuer", ...args], { from: "user" });
    return lines.join("\n");
  }

  it("makes an issuer and tells a program what it did, with no line of prose", async () => {
    const made = await run("init", "--url", ISSUER, "--out", place.out, "--key", place.key, "--json");
    const { kid } = await jsonIn(place.key);
    expect(JSON.parse(made)).toEqual({
      state: "new",
      kid,
      published: [kid],
      written: [place.key, join(place.out, ".well-known/openid-configuration"), join(place.out, "jwks.json")],
    });
  }, 60_000);

  it("tells a person what to do next, and each cloud's part", async () => {
    const told = await run("init", "--url", ISSUER, "--out", place.out, "--key", place.key, "--dry-run");
    expect(told).toContain(`${ISSUER}/.well-known/openid-configuration`);
    expect(told).toContain(await run("trust", "--url", ISSUER));
  }, 60_000);

  it("waits a day between the steps unless it is told otherwise", async () => {
    await init();
    const before = Date.now();
    const told = JSON.parse(
      await run("rotate", "--out", place.out, "--key", place.key, "--dry-run", "--json"),
    );
    expect(Date.parse(Object(told).notBefore) - before).toBeGreaterThanOrEqual(OVERLAP_S * 1000);
    await run("rotate", "--out", place.out, "--key", place.key);
    const early = run("rotate", "--out", place.out, "--key", place.key, "--overlap", "2h");
    await expect(early).rejects.toThrow("too early");
  }, 60_000);

  it.each([
    ["a plain URL", ["init", "--url", "http://kek-issuer.example.com", "--out", "o", "--key", "k"]],
    ["a URL with a slash at its end", ["trust", "--url", "https://kek-issuer.example.com/"]],
    ["a subject with white space", ["trust", "--url", ISSUER, "--subject", "a b"]],
    ["a duration without a unit", ["rotate", "--out", "o", "--key", "k", "--overlap", "24"]],
    ["no key", ["rotate", "--out", "o"]],
  ])("calls %s wrong usage", async (_name, args) => {
    await expect(run(...args)).rejects.toMatchObject({ name: "CommanderError", exitCode: 1 });
  });
});

describe("kek-broker issuer trust", () => {
  const text = trustOf({ url: ISSUER, subject: SUBJECT }).join("\n");

  it("names issuer, audience and subject to each cloud", () => {
    expect(text).toContain('"kek-issuer.example.com/prod:aud": "sts.amazonaws.com"');
    expect(text).toContain('"kek-issuer.example.com/prod:sub": "kek-broker"');
    expect(text).toContain(`--issuer-uri=${ISSUER}`);
    expect(text).toContain("assertion.sub == 'kek-broker'");
    expect(text).toContain('"api://AzureADTokenExchange"');
  });

  it("gives the role what AWS asks of it, and warns of a port that AWS does not take", () => {
    expect(text).toContain('"kms:DescribeKey"');
    expect(text).not.toContain("has a port");
    const other = trustOf({ url: "https://kek-issuer.example.com:8443", subject: SUBJECT });
    expect(other.join("\n")).toContain("has a port");
  });

  it("says what of it goes into the broker's file, where it is right once it is filled in", () => {
    const id = "01234567-89ab-cdef-0123-456789abcdef";
    const file = (text.split("The broker's file")[1] ?? "")
      .replace(/.*\n/, "")
      .replace("ACCOUNT", "111122223333")
      .replace("kek-broker-KEK", "kek-broker-prod")
      .replace("NUMBER", "1234")
      .replaceAll(/TENANT_ID|CLIENT_ID/g, id);
    const shown = z.record(z.string(), z.looseObject({})).parse(parse(file));
    const { identity, awsKms, gcpKms, azureKeyVault } = shown;
    const members = {
      aws: { awsKms: { keyArn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd", ...awsKms } },
      gcp: { gcpKms: { cryptoKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k", ...gcpKms } },
      az: { azureKeyVault: { keyUrl: "https://kek.vault.azure.net/keys/prod", ...azureKeyVault } },
    };
    const config = { audience: "https://kek.example.com", identity, keks: { prod: { members } } };
    const options = { allowDevelopmentKeys: false, listens: false, worker: { awsKeys: false } };
    expect(() => parseBrokerConfig(JSON.stringify(config), options)).not.toThrow();
  });

  it("has no placeholder that could be taken for a value", () => {
    expect(text).not.toMatch(/123456|undefined|<[a-z]/);
  });
});
