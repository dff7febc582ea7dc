import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { call, send } from "../conformance/http/caller.ts";
import { KEK, makeFixture, type Fixture } from "../conformance/http/fixture.ts";
import { startNodeBroker, type NodeBroker } from "../conformance/http/node.ts";
import { makeCertificate } from "../shim/certificate.ts";

const WRAP = `/v1/keks/${KEK}/wrap`;
const UNWRAP = `/v1/keks/${KEK}/unwrap`;

describe("kek-broker serve", () => {
  let folder: string;
  let fixture: Fixture;
  let broker: NodeBroker | undefined;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), "kek-serve-"));
    fixture = await makeFixture();
  });
  afterEach(async () => {
    await broker?.close();
    broker = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  const start = async (more: Record<string, unknown> = {}): Promise<NodeBroker> => {
    broker = await startNodeBroker(JSON.stringify({ ...configOf(fixture), ...more }));
    return broker;
  };
  const wrapAt = (url: string) =>
    call({ url, audience: fixture.audience }, fixture.nodes.primary, "POST", WRAP, {
      plaintext: randomBytes(32).toString("base64"),
    });

  it("answers readyz and metrics on the private port alone", async () => {
    const { url, privateUrl } = await start();
    await wrapAt(url);
    expect((await send(privateUrl, "GET", "/readyz")).status).toBe(200);
    const metrics = await send(privateUrl, "GET", "/metrics");
    expect(metrics.headers["content-type"]).toContain("text/plain");
    expect(metrics.text).toContain('kek_broker_requests_total{route="wrap",code="ok"} 1');
    expect((await send(url, "GET", "/metrics")).status).toBe(404);
  });

  it("warns of a development key on every start", async () => {
    const { output } = await start();
    expect(output()).toContain('"development-keys"');
  });

  it("records an intent before and an outcome after each act", async () => {
    const { url, auditFile } = await start();
    const { json } = await wrapAt(url);
    await call({ url, audience: fixture.audience }, fixture.nodes.primary, "POST", UNWRAP, {
      ciphertext: json["ciphertext"],
      uid: "a-uid",
    });
    const entries = linesOf(auditFile);
    expect(entries.map(({ kind, operation, result }) => [kind, operation ?? result])).toEqual([
      ["intent", "wrap"],
      ["outcome", "ok"],
      ["intent", "unwrap"],
      ["outcome", "ok"],
    ]);
    expect(entries[2]).toMatchObject({ uid: "a-uid", principal: { subject: "prod-eu-1/cp-1" }, kek: KEK });
  });

  it("acts on nothing when the record cannot be written", async () => {
    const { url } = await start({ audit: { file: "/dev/full" } });
    const answer = await wrapAt(url);
    expect([answer.status, answer.json["code"]]).toEqual([503, "AuditUnavailable"]);
  });

  describe("loads its configuration again", () => {
    const revokeAll = (running: NodeBroker) => {
      const config = JSON.parse(readFileSync(running.configFile, "utf8")) as Record<string, unknown>;
      const next = `${running.configFile}.next`;
      writeFileSync(next, JSON.stringify({ ...config, revoked: ["prod-eu-1"] }));
      renameSync(next, running.configFile);
    };

    it("on SIGHUP", async () => {
      const running = await start();
      revokeAll(running);
      running.signal("SIGHUP");
      await running.printed(/"config-loaded"/);
      expect((await wrapAt(running.url)).json["code"]).toBe("Revoked");
    });

    it("when the file changes", async () => {
      const running = await start();
      revokeAll(running);
      await running.printed(/"config-loaded"/);
      expect((await wrapAt(running.url)).json["code"]).toBe("Revoked");
    });

    it("and keeps the old one when the new one is broken: told, counted, and served on", async () => {
      const running = await start();
      writeFileSync(running.configFile, "keks: [");
      running.signal("SIGHUP");
      expect(await running.printed(/"config-refused"/)).toContain("not valid YAML");
      expect((await wrapAt(running.url)).status).toBe(200);
      const { text } = await send(running.privateUrl, "GET", "/metrics");
      expect(text).toMatch(/kek_broker_config_reloads_total\{result="refused"\} [1-9]/);
    });

    it("and opens its record's file again, for a log rotation", async () => {
      const running = await start();
      await wrapAt(running.url);
      renameSync(running.auditFile, `${running.auditFile}.1`);
      running.signal("SIGHUP");
      await running.printed(/"config-loaded"/);
      await wrapAt(running.url);
      expect(linesOf(`${running.auditFile}.1`)).toHaveLength(2);
      expect(linesOf(running.auditFile)).toHaveLength(2);
    });
  });

  describe("is not kept from a revocation", () => {
    const revoke = (running: NodeBroker): void => {
      const config = JSON.parse(readFileSync(running.configFile, "utf8")) as Record<string, unknown>;
      writeFileSync(running.configFile, JSON.stringify({ ...config, revoked: ["prod-eu-1"] }));
      running.signal("SIGHUP");
    };

    it("by a record's file that cannot be opened again: told, and the old one goes on", async () => {
      const records = join(folder, "records");
      mkdirSync(records);
      const running = await start({ audit: { file: join(records, "custody.jsonl") } });
      rmSync(records, { recursive: true });
      revoke(running);
      expect(await running.printed(/"audit-reopen-failed"/)).toContain("ENOENT");
      expect((await wrapAt(running.url)).json["code"]).toBe("Revoked");
    });

    it("by a record's file that hangs", async () => {
      const pipe = join(folder, "custody.fifo");
      execFileSync("mkfifo", [pipe]);
      // Keeps a reader, so that opening to write succeeds, and never reads.
      const reader = openSync(pipe, constants.O_RDONLY | constants.O_NONBLOCK);
      const running = await start({ audit: { file: pipe } });
      // 64 KiB of unread entries fill the pipe; from there on nothing is recorded, so nothing is done.
      let last = await wrapAt(running.url);
      for (let tries = 0; last.status === 200 && tries < 400; tries++) last = await wrapAt(running.url);
      expect(last.json["code"]).toBe("AuditUnavailable");
      revoke(running);
      await running.printed(/"config-loaded"/);
      expect((await wrapAt(running.url)).json["code"]).toBe("Revoked");
      // A write that hangs in the kernel keeps a process from ending by itself.
      running.signal("SIGKILL");
      closeSync(reader);
    });
  });

  it("takes nothing of a configuration whose certificate is broken", async () => {
    const certFile = join(folder, "tls.crt");
    const keyFile = join(folder, "tls.key");
    writeCertificate(certFile, keyFile);
    const running = await start({ tls: { certFile, keyFile } });
    const port = Number(new URL(running.url).port);
    const before = await fingerprint(port);
    const { text } = await send(running.privateUrl, "GET", "/readyz");
    writeFileSync(certFile, readFileSync(certFile, "utf8").slice(0, 200));
    const config = JSON.parse(readFileSync(running.configFile, "utf8")) as Record<string, unknown>;
    writeFileSync(running.configFile, JSON.stringify({ ...config, revoked: ["prod-eu-1"] }));
    running.signal("SIGHUP");
    await running.printed(/"config-refused"/);
    expect((await send(running.privateUrl, "GET", "/readyz")).text).toBe(text);
    expect(await fingerprint(port)).toBe(before);
  });

  it("tells which changes need a restart", async () => {
    const running = await start();
    const config = JSON.parse(readFileSync(running.configFile, "utf8")) as Record<string, unknown>;
    writeFileSync(running.configFile, JSON.stringify({ ...config, audit: { stdout: true } }));
    running.signal("SIGHUP");
    expect(await running.printed(/"restart-needed"/)).toContain("audit");
  });

  it("serves on when nobody reads its log any more", async () => {
    const running = await start();
    running.stopReading();
    for (let calls = 0; calls < 20; calls++) expect((await wrapAt(running.url)).status).toBe(200);
    expect((await send(running.privateUrl, "GET", "/readyz")).status).toBe(200);
  });

  it("lets a request under way finish on SIGTERM, then ends with 0", async () => {
    const running = await start();
    const answers = Array.from({ length: 32 }, () => wrapAt(running.url));
    await Promise.race(answers);
    running.signal("SIGTERM");
    expect(await running.exited).toBe(0);
    const settled = await Promise.allSettled(answers);
    const answered = settled.filter((one) => one.status === "fulfilled");
    expect(answered.length).toBeGreaterThan(0);
    for (const { value } of answered) expect(value.status).toBe(200);
  });

  it("serves TLS, and a new certificate for the connections after a reload", async () => {
    const certFile = join(folder, "tls.crt");
    const keyFile = join(folder, "tls.key");
    writeCertificate(certFile, keyFile);
    const running = await start({ tls: { certFile, keyFile } });
    const port = Number(new URL(running.url).port);
    const first = await fingerprint(port);
    expect(await statusOverTls(port, readFileSync(certFile), "/livez")).toBe(200);
    writeCertificate(certFile, keyFile);
    running.signal("SIGHUP");
    await running.printed(/"config-loaded"/);
    expect(await fingerprint(port)).not.toBe(first);
  });

  it.each([
    ["a local key that nobody allowed", { allowDevelopmentKeys: false }, "allowDevelopmentKeys: true"],
    ["plain HTTP for the whole network", { listen: "0.0.0.0:8080" }, "is plain HTTP beyond this machine"],
    ["a field it does not know", { lisen: "127.0.0.1:1" }, "lisen"],
  ])("refuses to start with %s", (_, mistake, message) => {
    const file = join(folder, "broker.json");
    writeFileSync(file, JSON.stringify({ ...configOf(fixture), ...mistake }));
    const { status, stderr } = spawnSync(
      process.execPath,
      ["dist/bin/kek-broker.js", "serve", "--config", file],
      {
        encoding: "utf8",
        timeout: 10_000,
      },
    );
    expect(status).toBe(1);
    expect(stderr).toContain("The configuration is refused");
    expect(stderr).toContain(message);
  });

  it("prints no key, token or plaintext, whatever is asked of it", async () => {
    const running = await start();
    const plaintext = Buffer.from("MARKED-PLAINTEXT-0123456789abcde");
    const wrapped = await call(
      { url: running.url, audience: fixture.audience },
      fixture.nodes.primary,
      "POST",
      WRAP,
      {
        plaintext: plaintext.toString("base64"),
      },
    );
    const opened = await call(
      { url: running.url, audience: fixture.audience },
      fixture.nodes.primary,
      "POST",
      UNWRAP,
      {
        ciphertext: wrapped.json["ciphertext"],
      },
    );
    expect(opened.json["plaintext"]).toBe(plaintext.toString("base64"));
    await call({ url: running.url, audience: fixture.audience }, fixture.nodes.stranger, "POST", WRAP, {
      plaintext: plaintext.toString("base64"),
    });
    const { text: metrics } = await send(running.privateUrl, "GET", "/metrics");
    const key = (
      JSON.parse(fixture.config) as {
        keks: Record<string, { members: { dev: { local: { keys: { key: string }[] } } } }>;
      }
    ).keks[KEK]?.members.dev.local.keys[0]?.key;
    const told = [running.output(), metrics, readFileSync(running.auditFile, "utf8")].join("\n");
    for (const secret of [
      plaintext.toString("latin1"),
      plaintext.toString("base64"),
      plaintext.toString("base64url"),
      plaintext.toString("hex"),
      String(key),
      "eyJ",
    ]) {
      expect(told).not.toContain(secret);
    }
  });
});

function configOf(fixture: Fixture): Record<string, unknown> {
  return JSON.parse(fixture.config) as Record<string, unknown>;
}

function linesOf(path: string): Record<string, unknown>[] {
  return readFileSync(path, "utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

function writeCertificate(certFile: string, keyFile: string): void {
  const { cert, key } = makeCertificate();
  writeFileSync(keyFile, key, { mode: 0o600 });
  writeFileSync(certFile, cert);
}

function fingerprint(port: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = tlsConnect({ port, host: "127.0.0.1", rejectUnauthorized: false }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.end();
    });
    socket.once("error", reject);
  });
}

function statusOverTls(port: number, ca: Buffer, path: string): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    httpsRequest({ host: "127.0.0.1", port, path, ca, agent: false }, (response) => {
      response.resume();
      resolve(response.statusCode);
    })
      .once("error", reject)
      .end();
  });
}
