import { spawn } from "node:child_process";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { rolldown } from "rolldown";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";

import { KmsClient } from "../conformance/grpc/kms-client.ts";
import type { FakeBroker } from "./fake-broker.ts";
import { makeFolder, makeNodeKeyFile, startBroker, textField } from "./kit.ts";

/** The program as one file, beside the packages it imports. */
const cache = join(import.meta.dirname, "../../node_modules/.cache");
let built: string;

beforeAll(async () => {
  mkdirSync(cache, { recursive: true });
  built = mkdtempSync(join(cache, "kek-shim-"));
  const input = join(import.meta.dirname, "../../src/bin/kek-shim.ts");
  const bundle = await rolldown({ input, platform: "node", external: /^(?!\.|\/)/ });
  await bundle.write({ dir: built, format: "esm", entryFileNames: "kek-shim.mjs" });
  await bundle.close();
});
afterAll(() => rmSync(built, { recursive: true, force: true }));

interface Program {
  readonly process: ChildProcess;
  readonly ended: Promise<{ code: number | null; out: string; err: string }>;
  /** Resolves once the text has been printed on standard error. */
  saw(text: string): Promise<void>;
}

function run(...args: readonly string[]): Program {
  const child = spawn(process.execPath, [join(built, "kek-shim.mjs"), ...args], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let out = "";
  let err = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (err += chunk.toString()));
  const ended = once(child, "close").then(() => ({ code: child.exitCode, out, err }));
  const saw = async (text: string): Promise<void> => {
    while (!err.includes(text)) await Promise.race([once(child.stderr, "data"), failWhenEnded(ended, text)]);
  };
  return { process: child, ended, saw };
}

async function failWhenEnded(ended: Program["ended"], text: string): Promise<never> {
  const { err } = await ended;
  throw new Error(`ended without "${text}":\n${err}`);
}

function writeConfig(broker: FakeBroker | undefined, changes: object = {}) {
  const folder = makeFolder();
  makeNodeKeyFile(folder);
  const file = join(folder, "shim.yaml");
  const socket = join(folder, "kms.sock");
  const config = {
    kek: "prod-secrets",
    cluster: "prod-eu-1",
    node: "cp-1",
    listen: `unix://${socket}`,
    brokers: [broker?.url ?? "https://kek.example.com"],
    identity: { nodeKey: join(folder, "node-key.json") },
    ...changes,
  };
  writeFileSync(file, JSON.stringify(config));
  return { folder, file, socket };
}

describe("kek-shim", { timeout: 20_000 }, () => {
  test.each(["SIGTERM", "SIGINT"] as const)("serves until %s, and leaves no socket", async (signal) => {
    const { file, socket } = writeConfig(await startBroker());
    const shim = run("--config", file);
    await shim.saw('"event":"healthy"');
    const client = new KmsClient(socket);
    const plaintext = Buffer.from("thirty-two bytes of a seed, here");
    expect(await client.decrypt(await client.encrypt(plaintext))).toEqual(plaintext);
    client.close();
    shim.process.kill(signal);
    const { code, out, err } = await shim.ended;
    expect(code).toBe(0);
    expect(out).toBe("");
    expect(
      err
        .trimEnd()
        .split("\n")
        .map((line) => textField(line, "event")),
    ).toEqual(["started", "key id first seen", "healthy", "stopping", "stopped"]);
    expect(existsSync(socket)).toBe(false);
  });

  test("killed without warning leaves a socket that the next one replaces", async () => {
    const { file, socket } = writeConfig(await startBroker());
    const first = run("--config", file);
    await first.saw('"event":"healthy"');
    first.process.kill("SIGKILL");
    await first.ended;
    expect(existsSync(socket)).toBe(true);
    const second = run("--config", file);
    await second.saw('"event":"healthy"');
    const client = new KmsClient(socket);
    expect((await client.status()).healthz).toBe("ok");
    client.close();
  });

  test("under a KEK it cannot serve ends with 1 and says why", async () => {
    const broker = await startBroker();
    broker.status = { maxCiphertext: 3_000 };
    const { file } = writeConfig(broker);
    const { code, err } = await run("--config", file).ended;
    expect(code).toBe(1);
    expect(err).toContain("mode direct cannot use the KEK prod-secrets");
  });

  test("with a wrong configuration ends with 2 and names every mistake", async () => {
    const { file } = writeConfig(undefined, { kek: "A", brokers: ["http://kek.example.com"], extra: 1 });
    const { code, err } = await run("--config", file).ended;
    expect(code).toBe(2);
    for (const path of ["kek", "brokers.0", "extra"]) expect(err).toContain(path);
  });

  test.each([[[]], [["--config"]], [["check"]], [["--nonsense"]], [["nonsense"]]])(
    "called as %j ends with 2 and points to --help",
    async (args) => {
      const { code, err } = await run(...args).ended;
      expect(code).toBe(2);
      expect(err).toContain("kek-shim --help tells more");
    },
  );

  test("--help shows examples and exit codes", async () => {
    const { code, out } = await run("--help").ended;
    expect(code).toBe(0);
    expect(out).toContain("kek-shim check --config /etc/kek/shim.yaml");
    expect(out).toContain("Exit codes:");
  });
});

describe("kek-shim check", { timeout: 20_000 }, () => {
  test("finds nothing wrong with what is right, and makes no socket", async () => {
    const { file, socket } = writeConfig(undefined);
    const { code, out } = await run("check", "--config", file).ended;
    expect(code).toBe(0);
    expect(out).toContain("nothing wrong found");
    expect(existsSync(socket)).toBe(false);
  });

  test("names the files that cannot be used, all at once", async () => {
    const { folder, file } = writeConfig(undefined);
    const changes = {
      identity: { nodeKey: join(folder, "missing.json") },
      ca: join(folder, "shim.yaml"),
      listen: `unix://${join(folder, "missing", "kms.sock")}`,
    };
    const { file: wrong } = writeConfig(undefined, changes);
    const { code, err } = await run("check", "-c", wrong).ended;
    expect(code).toBe(2);
    expect(err).toMatch(/^identity: .*missing\.json/m);
    expect(err).toMatch(/^ca: .*no certificate/m);
    expect(err).toMatch(/^listen: .*does not exist/m);
    expect(existsSync(file)).toBe(true);
  });

  test("of a file that is missing says so", async () => {
    const { code, err } = await run("check", "--config", "/nonexistent.yaml").ended;
    expect(code).toBe(2);
    expect(err).toContain("/nonexistent.yaml cannot be read (ENOENT)");
  });
});
