import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, statSync, existsSync, readFileSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { parse } from "yaml";

import { connectKms } from "../../src/runtime/dev/kms-client.ts";
import { freePort } from "../conformance/http/node.ts";
import { startDevProcess, type DevProcess } from "./dev-process.ts";

describe("kek-broker dev", () => {
  let folder: string;
  let dir: string;
  const running: DevProcess[] = [];

  const start = (...args: string[]): DevProcess => {
    const dev = startDevProcess(["--dir", dir, ...args]);
    running.push(dev);
    return dev;
  };
  const stop = async (dev: DevProcess): Promise<void> => {
    dev.interrupt();
    expect(await dev.exited).toEqual({ code: 0, signal: null });
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "kek-dev-"));
    dir = join(folder, "dev");
  });
  afterEach(async () => {
    for (const dev of running.splice(0)) {
      dev.kill();
      await dev.exited;
    }
    rmSync(folder, { recursive: true, force: true });
  });

  it("shows a real round trip, keeps everything private in one folder, and leaves no socket behind", async () => {
    const dev = start();
    const screen = await dev.up;
    expect(screen).toMatch(/Status {2}→ version v2, healthz ok, key_id dev\.0\.[a-z2-7]{16}/);
    expect(screen).toContain("→ the same 32 bytes");
    const socket = join(dir, "kms.sock");
    expect(statSync(socket).mode & 0o777).toBe(0o600);
    expect(statSync(dir).mode & 0o077).toBe(0);
    for (const file of ["broker.yaml", "node-key.json", "custody.jsonl", "dev.log"]) {
      expect(statSync(join(dir, file)).mode & 0o077, file).toBe(0);
    }
    const handed: unknown = parse(readFileSync(join(dir, "encryption-config.yaml"), "utf8"));
    expect(handed).toMatchObject({
      kind: "EncryptionConfiguration",
      resources: [
        { providers: [{ kms: { apiVersion: "v2", endpoint: `unix://${socket}` } }, { identity: {} }] },
      ],
    });
    await stop(dev);
    expect(readdirSync(dir)).not.toContain("kms.sock");
  });

  it("resumes with the same keys: what was encrypted before still decrypts, and the key id is the same", async () => {
    const seed = randomBytes(32);
    const first = start();
    await first.up;
    const before = connectKms(join(dir, "kms.sock"));
    const encrypted = await before.encrypt({ plaintext: seed, uid: "before" });
    before.close();
    await stop(first);

    const second = start();
    expect(await second.up).toContain("resumed with the keys in");
    const after = connectKms(join(dir, "kms.sock"));
    const { keyId } = await after.status();
    const { plaintext } = await after.decrypt({
      ciphertext: encrypted.ciphertext,
      keyId: encrypted.keyId,
      annotations: {},
      uid: "after",
    });
    after.close();
    expect(keyId).toBe(encrypted.keyId);
    expect(seed.equals(plaintext)).toBe(true);
    await stop(second);
  });

  it("stops cleanly on a Ctrl-C that comes twice, as npm passes it on", async () => {
    const dev = start();
    await dev.up;
    dev.interrupt();
    dev.interrupt();
    expect(await dev.exited).toEqual({ code: 0, signal: null });
    expect(existsSync(join(dir, "kms.sock"))).toBe(false);
  });

  it("takes the port it is told", async () => {
    const port = await freePort();
    const dev = start("--port", String(port));
    await dev.up;
    expect((await fetch(`http://127.0.0.1:${port}/livez`)).status).toBe(200);
    await stop(dev);
  });

  it("refuses a folder that another one is running in, and leaves that one alone", async () => {
    const first = start();
    await first.up;
    const second = start();
    expect((await second.exited).code).toBe(1);
    expect(second.output()).toMatch(/kms\.sock/);
    const client = connectKms(join(dir, "kms.sock"));
    expect((await client.status()).healthz).toBe("ok");
    client.close();
    await stop(first);
  });

  it("names a port that is taken", async () => {
    const first = start();
    const port = /http:\/\/127\.0\.0\.1:(\d+)/.exec(await first.up)?.[1] ?? "";
    dir = join(folder, "other");
    const second = start("--port", port);
    expect((await second.exited).code).toBe(1);
    expect(second.output()).toContain(port);
    await stop(first);
  });

  it("explains itself", async () => {
    const dev = startDevProcess(["--help"]);
    expect((await dev.exited).code).toBe(0);
    expect(dev.output()).toContain("npm start -- --dir");
  });

  it("calls a wrong port wrong usage", async () => {
    const dev = start("--port", "many");
    expect((await dev.exited).code).toBe(2);
  });
});
