import { createHash } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";

import { decodeProtectedHeader, jwtVerify } from "jose";
import { describe, expect, test, vi } from "vitest";

import { BrokerCallError, StartError } from "../../src/shim/errors.ts";
import { createExecIdentity } from "../../src/shim/identity/exec.ts";
import { createNodeKeyIdentity } from "../../src/shim/identity/node-key.ts";
import { createTokenFileIdentity } from "../../src/shim/identity/token-file.ts";
import { createLog } from "../../src/shim/log.ts";
import { makeFolder, makeNodeKeyFile } from "./kit.ts";

/** For a busy machine; nothing here waits so long. */
vi.setConfig({ testTimeout: 30_000 });

const silent = () => undefined;
const AUDIENCE = "https://kek.example.com";
const REQUEST = {
  method: "POST",
  path: "/v1/keks/prod-secrets/wrap",
  body: Buffer.from('{"plaintext":"AAAA"}'),
  wall: 1_800_000_000_500,
} as const;

function jwt(claims: object, mark = "c2ln"): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "ES256" })}.${part(claims)}.${mark}`;
}

/** A P-256 key that everybody knows: the example of RFC 7515, appendix A.3. */
const sample = {
  kty: "EC",
  crv: "P-256",
  x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
  y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  d: "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI",
};

async function failureOf(promise: Promise<unknown>): Promise<BrokerCallError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof BrokerCallError) return error;
    throw error;
  }
  throw new Error("did not fail");
}

describe("a node key", () => {
  const settings = (file: string) => ({ file, cluster: "prod-eu-1", node: "cp-1", audience: AUDIENCE });

  async function verified(token: string, key: KeyObject) {
    return jwtVerify(token, key, {
      issuer: "prod-eu-1/cp-1",
      subject: "prod-eu-1/cp-1",
      audience: AUDIENCE,
      typ: "kek-node+jwt",
      currentDate: new Date(REQUEST.wall),
    });
  }

  test.each([
    ["ec", "ES256"],
    ["ed25519", "EdDSA"],
  ] as const)("of type %s signs the very request with %s", async (type, algorithm) => {
    const { file, publicKey } = makeNodeKeyFile(makeFolder(), type);
    const identity = createNodeKeyIdentity(settings(file), silent);
    const { payload, protectedHeader } = await verified(await identity.token(REQUEST), publicKey);
    expect(protectedHeader.alg).toBe(algorithm);
    expect(payload).toMatchObject({
      htm: "POST",
      htu: "/v1/keks/prod-secrets/wrap",
      bh: createHash("sha256").update(REQUEST.body).digest("base64url"),
    });
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(60);
    expect(payload.iat).toBe(1_800_000_000 - 5);
  });

  test("hashes no bytes for a GET, and never repeats a jti", async () => {
    const { file, publicKey } = makeNodeKeyFile(makeFolder());
    const identity = createNodeKeyIdentity(settings(file), silent);
    const get = { ...REQUEST, method: "GET", body: new Uint8Array() } as const;
    const tokens = await Promise.all([identity.token(get), identity.token(get)]);
    const [first, second] = await Promise.all(tokens.map((token) => verified(token, publicKey)));
    expect(first?.payload["bh"]).toBe(createHash("sha256").digest("base64url"));
    expect(first?.payload.jti).not.toBe(second?.payload.jti);
  });

  test("names its kid, if it has one", async () => {
    const { file } = makeNodeKeyFile(makeFolder());
    const without = await createNodeKeyIdentity(settings(file), silent).token(REQUEST);
    expect(decodeProtectedHeader(without)).toEqual({ typ: "kek-node+jwt", alg: "ES256" });
    const text = readFileSync(file, "utf8");
    writeFileSync(file, text.replace("{", '{"kid":"cp-1-2027","alg":"ES256","use":"sig",'));
    const named = await createNodeKeyIdentity(settings(file), silent).token(REQUEST);
    expect(decodeProtectedHeader(named).kid).toBe("cp-1-2027");
  });

  test.each([0o640, 0o604, 0o644, 0o620])("with mode %o is refused: others could have it", (mode) => {
    const { file } = makeNodeKeyFile(makeFolder());
    chmodSync(file, mode);
    expect(() => createNodeKeyIdentity(settings(file), silent)).toThrow(
      expect.objectContaining({ code: "IdentityUnusable", message: expect.stringContaining("chmod 0600") }),
    );
  });

  test.each([
    ["is missing", undefined],
    ["is empty", ""],
    ["is no JSON", "-----BEGIN PRIVATE KEY-----"],
    ["is a public key", JSON.stringify({ ...sample, d: undefined })],
    ["is of another curve", JSON.stringify({ ...sample, crv: "P-384" })],
    ["is an RSA key", JSON.stringify({ kty: "RSA", n: "AQAB", e: "AQAB", d: "AQAB" })],
    ["has a public part of another key", JSON.stringify({ ...sample, x: sample.y, y: sample.x })],
    ["has another key's d", JSON.stringify({ ...sample, d: sample.x })],
  ])("that %s is refused, and not quoted", (_name, text) => {
    const file = join(makeFolder(), "key.json");
    if (text !== undefined) writeFileSync(file, text, { mode: 0o600 });
    let caught: unknown;
    try {
      createNodeKeyIdentity(settings(file), silent);
    } catch (error) {
      caught = error;
    }
    expect(caught).toBeInstanceOf(StartError);
    expect(caught).toMatchObject({ code: "IdentityUnusable" });
    const told = inspect(caught, { depth: 10 });
    for (const part of [sample.d, sample.x]) expect(told).not.toContain(part);
  });

  test("is read again when it is replaced; a broken one leaves the old in use, said once", async () => {
    const folder = makeFolder();
    const { file, publicKey: old } = makeNodeKeyFile(folder);
    const lines: string[] = [];
    const log = createLog(
      (line) => lines.push(line),
      () => 0,
    );
    const identity = createNodeKeyIdentity(settings(file), log);
    writeFileSync(`${file}.new`, "half", { mode: 0o600 });
    renameSync(`${file}.new`, file);
    await verified(await identity.token(REQUEST), old);
    await identity.token(REQUEST);
    expect(lines).toHaveLength(1);
    rmSync(file);
    const { publicKey: fresh } = makeNodeKeyFile(folder);
    await verified(await identity.token(REQUEST), fresh);
    expect(lines.at(-1)).toContain("identity reloaded");
  });
});

describe("a token file", () => {
  test("is read, and read again when it changes, as kubelet swaps it", async () => {
    const folder = makeFolder();
    for (const name of ["v1", "v2"]) {
      mkdirSync(join(folder, name));
      writeFileSync(join(folder, name, "token"), `${jwt({ v: name })}\n`);
    }
    symlinkSync("v1", join(folder, "..data"));
    symlinkSync("..data/token", join(folder, "token"));
    const identity = createTokenFileIdentity(join(folder, "token"), silent);
    expect(await identity.token(REQUEST)).toBe(jwt({ v: "v1" }));
    symlinkSync("v2", join(folder, "..data_tmp"));
    renameSync(join(folder, "..data_tmp"), join(folder, "..data"));
    expect(await identity.token(REQUEST)).toBe(jwt({ v: "v2" }));
  });

  test("that is not there yet is NoIdentity until it is", async () => {
    const file = join(makeFolder(), "token");
    const identity = createTokenFileIdentity(file, silent);
    expect((await failureOf(identity.token(REQUEST))).code).toBe("NoIdentity");
    writeFileSync(file, jwt({}));
    expect(await identity.token(REQUEST)).toBe(jwt({}));
    rmSync(file);
    expect(await identity.token(REQUEST)).toBe(jwt({}));
  });

  test.each([
    ["empty", ""],
    ["no JWT", "secret-that-is-no-jwt"],
    ["two lines", `${jwt({})}\n${jwt({})}`],
    ["a header to smuggle", `${jwt({})}\r\nX-Evil: 1`],
    ["9 KiB", jwt({ filler: "a".repeat(7_000) })],
    ["100 KiB", "a".repeat(100_000)],
  ])("that is %s is NoIdentity, and not quoted", async (_name, text) => {
    const file = join(makeFolder(), "token");
    writeFileSync(file, text);
    const failure = await failureOf(createTokenFileIdentity(file, silent).token(REQUEST));
    expect(failure.code).toBe("NoIdentity");
    expect(failure.message).not.toContain(text.slice(0, 20) || "nothing to quote");
  });

  test("refused by the brokers is read anew even if nothing about the file changed", async () => {
    const file = join(makeFolder(), "token");
    writeFileSync(file, jwt({}));
    const lines: string[] = [];
    const identity = createTokenFileIdentity(
      file,
      createLog(
        (line) => lines.push(line),
        () => 0,
      ),
    );
    await identity.token(REQUEST);
    identity.refused();
    expect(await identity.token(REQUEST)).toBe(jwt({}));
    expect(lines.join()).toContain("identity reloaded");
  });
});

describe("an exec command", () => {
  /** Prints a token that says how often it was run. */
  function counting(folder: string, life: number, now: number): string[] {
    const script = `
      const fs = require("node:fs");
      fs.appendFileSync(process.argv[1], "x");
      const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
      const run = fs.statSync(process.argv[1]).size;
      console.log(part({}) + "." + part({ run, exp: ${Math.floor(now / 1000) + life} }) + ".c2ln");`;
    return [process.execPath, "-e", script, join(folder, "runs")];
  }
  const runOf = (token: string) =>
    JSON.parse(Buffer.from(token.split(".")[1] ?? "", "base64url").toString()).run;

  test("is run once for many callers, and kept until shortly before its end", async () => {
    let now = 1_800_000_000_000;
    const identity = createExecIdentity(counting(makeFolder(), 600, now), () => now);
    const tokens = await Promise.all(Array.from({ length: 20 }, () => identity.token(REQUEST)));
    expect(new Set(tokens.map(runOf))).toEqual(new Set([1]));
    now += 539_000;
    expect(runOf(await identity.token(REQUEST))).toBe(1);
    now += 61_000;
    expect(runOf(await identity.token(REQUEST))).toBe(2);
  });

  test.each([
    ["cannot be found", ["/nonexistent/program"], "ENOENT"],
    ["ends with a code", [process.execPath, "-e", "console.log('marked-secret');process.exit(3)"], "code 3"],
    ["prints no JWT", [process.execPath, "-e", "console.log('marked-secret')"], "did not print a JWT"],
    [
      "prints without end",
      [process.execPath, "-e", "for(;;)process.stdout.write('marked-secret'.repeat(9999))"],
      "too much",
    ],
  ])("that %s is NoIdentity, and its output is not quoted", async (_name, command, reason) => {
    const failure = await failureOf(createExecIdentity(command).token(REQUEST));
    expect(failure.code).toBe("NoIdentity");
    expect(failure.message).toContain(reason);
    expect(failure.message + String(failure.cause)).not.toContain("marked-secret");
  });

  test("that fails is not run again within a second", async () => {
    let now = 0;
    const folder = makeFolder();
    const command = [
      process.execPath,
      "-e",
      `require("fs").appendFileSync(process.argv[1], "x")`,
      join(folder, "runs"),
    ];
    const identity = createExecIdentity(command, () => now);
    for (let call = 0; call < 5; call++) await failureOf(identity.token(REQUEST));
    now += 1_000;
    await failureOf(identity.token(REQUEST));
    expect(readFileSync(join(folder, "runs"), "utf8")).toBe("xx");
  });
});
