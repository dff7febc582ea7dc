import { createHash, randomBytes, randomUUID } from "node:crypto";
import type { KeyObject } from "node:crypto";
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { status as Code } from "@grpc/grpc-js";
import { jwtVerify } from "jose";
import { request } from "undici";
import { describe, expect, onTestFinished, test, vi } from "vitest";

import { startShim } from "../../src/shim/shim.ts";
import { grpcCodeOf, KmsClient, serviceErrorOf } from "../conformance/grpc/kms-client.ts";
import { hangsUp, held, refuses, says, staysSilent, truncates } from "./fake-broker.ts";
import type { FakeBroker } from "./fake-broker.ts";
import { makeConfig, makeFolder, makeNodeKeyFile, startBroker, startBrokers, textField } from "./kit.ts";

/** For a busy machine; nothing here waits so long. */
vi.setConfig({ testTimeout: 30_000 });
const PATIENTLY = { timeout: 10_000 };

interface Running {
  readonly folder: string;
  readonly shim: Awaited<ReturnType<typeof startShim>>;
  readonly client: KmsClient;
  readonly lines: string[];
  readonly publicKey: KeyObject;
  readonly http: (path: string) => Promise<{ status: number; text: string }>;
}

async function start(brokers: readonly FakeBroker[], more: object = {}): Promise<Running> {
  const folder = makeFolder();
  const { publicKey } = makeNodeKeyFile(folder);
  const urls = brokers.map(({ url }) => url);
  const config = makeConfig(folder, urls, { http: "127.0.0.1:0", ...more });
  const lines: string[] = [];
  const shim = await startShim(config, { print: (line) => lines.push(line) });
  const client = new KmsClient(shim.socketPath);
  onTestFinished(async () => {
    client.close();
    await shim.close();
  });
  const http = async (path: string) => {
    const { statusCode, body } = await request(`${shim.httpUrl}${path}`);
    return { status: statusCode, text: await body.text() };
  };
  return { folder, shim, client, lines, publicKey, http };
}

async function startReady(brokers: readonly FakeBroker[], more: object = {}): Promise<Running> {
  const running = await start(brokers, more);
  await running.shim.ready;
  return running;
}

describe("a start", () => {
  test("opens the socket and answers whether or not a broker does", async () => {
    const broker = await startBroker();
    broker.always = staysSilent;
    const { client, http } = await start([broker]);
    const started = performance.now();
    const status = await client.status();
    expect(performance.now() - started).toBeLessThan(4_000);
    expect(status).toEqual({ version: "v2", healthz: "no broker has answered yet", keyId: "" });
    expect((await serviceErrorOf(client.encrypt(randomBytes(32))))?.code).toBe(Code.UNAVAILABLE);
    expect(await http("/livez")).toEqual({ status: 200, text: "ok\n" });
    expect(await http("/readyz")).toEqual({ status: 503, text: "no broker has answered yet\n" });
  });

  test("shows the first key id at once, and the first Encrypt comes under it", async () => {
    const broker = await startBroker();
    const { client, http } = await startReady([broker]);
    expect(await client.status()).toEqual({ version: "v2", healthz: "ok", keyId: broker.keyId });
    broker.wrapKeyId = "prod-secrets.0.somethingelse000";
    expect((await client.encrypt(randomBytes(32))).keyId).toBe(broker.keyId);
    expect(await http("/readyz")).toEqual({ status: 200, text: "ok\n" });
  });

  test("without any key id known at the broker is not ok, and encrypts nothing", async () => {
    const broker = await startBroker();
    broker.keyId = null;
    const answered = new Promise<void>((resolve) => {
      broker.next(({ response, effect }) => {
        response.on("close", resolve);
        response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(effect()));
      });
    });
    const { client, shim } = await start([broker]);
    await answered;
    await expect.poll(() => shim.healthz(), PATIENTLY).toContain("no key id");
    expect(await grpcCodeOf(client.encrypt(randomBytes(32)))).toBe(Code.UNAVAILABLE);
    expect(broker.count("wrap")).toBe(0);
  });

  test("names the version it is told to", async () => {
    const { client } = await startReady([await startBroker()], { statusVersion: "v2beta1" });
    expect((await client.status()).version).toBe("v2beta1");
  });

  test("under a KEK whose envelopes kube-apiserver would not store ends by itself, and says why", async () => {
    const broker = await startBroker();
    broker.status = { maxCiphertext: 1_200 };
    const { shim } = await start([broker]);
    const reason = await shim.stopped;
    expect(reason?.code).toBe("DirectModeUnfit");
    expect(existsSync(shim.socketPath)).toBe(false);
  });

  test("with a key that others can read does not happen, and leaves no socket", async () => {
    const folder = makeFolder();
    makeNodeKeyFile(folder, "ec", 0o644);
    const config = makeConfig(folder, ["https://kek.example.com"]);
    await expect(startShim(config, { print: () => undefined })).rejects.toMatchObject({
      code: "IdentityUnusable",
    });
    expect(existsSync(join(folder, "kms.sock"))).toBe(false);
  });

  test("with its HTTP port taken does not happen, and leaves no socket", async () => {
    const { shim } = await startReady([await startBroker()]);
    const folder = makeFolder();
    makeNodeKeyFile(folder);
    const http = new URL(shim.httpUrl ?? "").host;
    const config = makeConfig(folder, ["https://kek.example.com"], { http });
    await expect(startShim(config, { print: () => undefined })).rejects.toMatchObject({
      code: "HttpUnusable",
    });
    expect(existsSync(join(folder, "kms.sock"))).toBe(false);
  });

  test("beside a live shim does not happen", async () => {
    const { folder } = await startReady([await startBroker()]);
    const config = makeConfig(folder, ["https://kek.example.com"]);
    await expect(startShim(config, { print: () => undefined })).rejects.toMatchObject({
      code: "SocketInUse",
    });
  });
});

describe("Decrypt", () => {
  test("of what was encrypted here asks no broker, even when all are gone", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    const plaintext = randomBytes(32);
    const encrypted = await client.encrypt(plaintext);
    broker.always = hangsUp("before");
    expect(await client.decrypt(encrypted)).toEqual(plaintext);
    expect(broker.count("unwrap")).toBe(0);
  });

  test("of one ciphertext by 300 callers at once is one call, and later ones are none", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    const plaintext = randomBytes(32);
    const ciphertext = broker.seal(plaintext);
    const gate = held();
    broker.next(gate.behaviour);
    const calls = Array.from({ length: 300 }, () => client.decrypt({ ciphertext, uid: randomUUID() }));
    await expect.poll(() => broker.count("unwrap"), PATIENTLY).toBe(1);
    gate.release();
    const answers = await Promise.all(calls);
    expect(answers.every((answer) => answer.equals(plaintext))).toBe(true);
    expect(await client.decrypt({ ciphertext })).toEqual(plaintext);
    expect(broker.count("unwrap")).toBe(1);
  });

  test("by a caller that leaves goes on for the others, and for its own next try", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    const plaintext = randomBytes(32);
    const ciphertext = broker.seal(plaintext);
    const gate = held();
    broker.next(gate.behaviour);
    const impatient = grpcCodeOf(client.decrypt({ ciphertext }, { deadlineMs: 400 }));
    await expect.poll(() => broker.count("unwrap"), PATIENTLY).toBe(1);
    const patient = client.decrypt({ ciphertext });
    expect(await impatient).toBe(Code.DEADLINE_EXCEEDED);
    gate.release();
    expect(await patient).toEqual(plaintext);
    expect(await client.decrypt({ ciphertext })).toEqual(plaintext);
    expect(broker.count("unwrap")).toBe(1);
  });

  test("that fails is tried anew by the next caller", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    const ciphertext = broker.seal(randomBytes(32));
    broker.next(refuses("AccessDenied"));
    expect(await grpcCodeOf(client.decrypt({ ciphertext }))).toBe(Code.PERMISSION_DENIED);
    expect(await grpcCodeOf(client.decrypt({ ciphertext }))).toBe(Code.OK);
  });

  test("whose answer is no key is refused, and not kept", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    const ciphertext = broker.seal(randomBytes(32));
    const type = { "content-type": "application/json" };
    for (const plaintext of ["", "AAA", "AAAA\n", "A".repeat(400)]) {
      broker.next(says(200, type, JSON.stringify({ plaintext, keyId: null })));
      expect(await grpcCodeOf(client.decrypt({ ciphertext }))).toBe(Code.UNAVAILABLE);
    }
    expect(await grpcCodeOf(client.decrypt({ ciphertext }))).toBe(Code.OK);
  });

  test.each([
    ["hangs up", hangsUp("before")],
    ["truncates its answer", truncates],
    ["refuses", refuses("InvalidCiphertext")],
  ])(
    "is not told its broker's address when that %s: an apiserver would repeat it to its users",
    async (_, fault) => {
      const broker = await startBroker();
      const { client, lines } = await startReady([broker]);
      broker.always = fault;
      const error = await serviceErrorOf(
        client.decrypt({ ciphertext: randomBytes(100) }, { deadlineMs: 3_000 }),
      );
      expect(error?.details).toContain("broker");
      expect(error?.details).not.toContain(new URL(broker.url).host);
      expect(lines.join("\n")).toContain(broker.url);
    },
  );

  test("after Revoked nothing that was cached is answered", async () => {
    const broker = await startBroker();
    const { client, shim, http } = await startReady([broker]);
    const encrypted = await client.encrypt(randomBytes(32));
    broker.always = refuses("Revoked");
    expect(await grpcCodeOf(client.decrypt({ ciphertext: broker.seal(randomBytes(32)) }))).toBe(
      Code.PERMISSION_DENIED,
    );
    expect(await grpcCodeOf(client.decrypt(encrypted))).toBe(Code.PERMISSION_DENIED);
    expect(shim.healthz()).toContain("Revoked");
    expect((await http("/metrics")).text).toContain("kek_shim_cache_entries 0");
    expect((await http("/livez")).status).toBe(200);
    await expect.poll(() => broker.count("status"), PATIENTLY).toBeGreaterThan(1);
  });
});

describe("Encrypt", () => {
  test.each([
    ["InvalidCiphertext", Code.INVALID_ARGUMENT],
    ["AuthenticationFailed", Code.UNAUTHENTICATED],
    ["AccessDenied", Code.PERMISSION_DENIED],
    ["KeyUnavailable", Code.FAILED_PRECONDITION],
    ["Throttled", Code.RESOURCE_EXHAUSTED],
    ["NotFound", Code.INTERNAL],
    ["AuditUnavailable", Code.UNAVAILABLE],
  ] as const)("that the broker answers with %s fails with status %i and a text", async (code, expected) => {
    const broker = await startBroker();
    const { client, lines } = await startReady([broker]);
    broker.always = refuses(code);
    const error = await serviceErrorOf(client.encrypt(randomBytes(32), "uid-7", { deadlineMs: 1_500 }));
    expect(error?.code).toBe(expected);
    expect(error?.details).toContain(code);
    expect(lines.map((line): unknown => JSON.parse(line))).toContainEqual(
      expect.objectContaining({ event: "request failed", method: "Encrypt", code, uid: "uid-7" }),
    );
  });

  test("whose envelope is over 1,024 bytes is refused, and said in health", async () => {
    const broker = await startBroker();
    const { client, shim } = await startReady([broker]);
    const ciphertext = randomBytes(1_025).toString("base64");
    broker.next(
      says(200, { "content-type": "application/json" }, JSON.stringify({ ciphertext, keyId: null })),
    );
    const error = await serviceErrorOf(client.encrypt(randomBytes(32)));
    expect(error?.code).toBe(Code.FAILED_PRECONDITION);
    expect(error?.details).toContain("1025 bytes");
    expect(shim.healthz()).toContain("EnvelopeTooLarge");
    expect(await grpcCodeOf(client.encrypt(randomBytes(32)))).toBe(Code.OK);
    expect(shim.healthz()).toBe("ok");
  });

  test("keeps to the caller's deadline, and tells the broker", async () => {
    const broker = await startBroker();
    const { client } = await startReady([broker]);
    broker.always = staysSilent;
    const started = performance.now();
    expect(await grpcCodeOf(client.encrypt(randomBytes(32), "", { deadlineMs: 400 }))).toBe(
      Code.DEADLINE_EXCEEDED,
    );
    expect(performance.now() - started).toBeLessThan(3_000);
    const told = Number(broker.calls.at(-1)?.headers["x-timeout-ms"]);
    expect(told).toBeGreaterThan(1);
    expect(told).toBeLessThanOrEqual(900);
  });

  test("fails over to the next broker", async () => {
    const brokers = await startBrokers(2);
    const { client } = await startReady(brokers);
    brokers[0]!.always = truncates;
    const plaintext = randomBytes(32);
    const encrypted = await client.encrypt(plaintext);
    expect(await client.decrypt(encrypted)).toEqual(plaintext);
    expect(brokers.map((broker) => broker.count("wrap"))).toEqual([1, 1]);
  });

  test("is signed by the node, over the very body", async () => {
    const broker = await startBroker();
    const { client, publicKey } = await startReady([broker]);
    await client.encrypt(randomBytes(32));
    const call = broker.calls.find(({ operation }) => operation === "wrap");
    const token = (call?.headers.authorization ?? "").replace("Bearer ", "");
    const { payload } = await jwtVerify(token, publicKey, { audience: "https://kek.example.com" });
    expect(payload.sub).toBe("prod-eu-1/cp-1");
    expect(payload["bh"]).toBe(
      createHash("sha256")
        .update(call?.body ?? "")
        .digest("base64url"),
    );
    expect(payload["htu"]).toBe(call?.path);
  });
});

describe("an end", () => {
  test("takes the socket away at once, lets calls in flight end, and then is over", async () => {
    const broker = await startBroker();
    const { client, shim, lines } = await startReady([broker]);
    const gate = held();
    broker.next(gate.behaviour);
    const plaintext = randomBytes(32);
    const inFlight = client.encrypt(plaintext);
    await expect.poll(() => broker.count("wrap"), PATIENTLY).toBe(1);
    const closing = shim.close();
    await expect.poll(() => existsSync(shim.socketPath), PATIENTLY).toBe(false);
    expect(await grpcCodeOf(new KmsClient(shim.socketPath).status({ deadlineMs: 100 }))).not.toBe(Code.OK);
    gate.release();
    expect((await inFlight).ciphertext.length).toBeGreaterThan(0);
    await closing;
    expect(await shim.stopped).toBeUndefined();
    expect(lines.at(-1)).toContain('"event":"stopped"');
  });

  test("waits no longer than 3.5 s for a call that hangs", async () => {
    const broker = await startBroker();
    const { client, shim } = await startReady([broker]);
    broker.always = staysSilent;
    const hanging = grpcCodeOf(client.encrypt(randomBytes(32), "", { deadlineMs: 20_000 }));
    await expect.poll(() => broker.count("wrap"), PATIENTLY).toBe(1);
    const started = performance.now();
    await shim.close();
    expect(performance.now() - started).toBeLessThan(10_000);
    expect(await hanging).not.toBe(Code.OK);
  });

  test("and a new start on the same socket serve the same callers", async () => {
    const broker = await startBroker();
    const first = await startReady([broker]);
    const encrypted = await first.client.encrypt(Buffer.from("a seed that outlives its shim..."));
    await first.shim.close();
    const again = await startShim(makeConfig(first.folder, [broker.url]), { print: () => undefined });
    onTestFinished(() => again.close());
    await again.ready;
    expect(lstatSync(again.socketPath).mode & 0o777).toBe(0o600);
    const other = new KmsClient(again.socketPath);
    expect((await other.decrypt(encrypted)).toString()).toBe("a seed that outlives its shim...");
    other.close();
  });
});

test("nothing secret is in logs, errors or metrics, whatever goes wrong", async () => {
  const brokers = await startBrokers(2);
  const { client, lines, http, folder } = await startReady(brokers);
  const plaintext = Buffer.from("marked-seed-marked-seed-marked-s");
  const told: string[] = [];
  const encrypted = await client.encrypt(plaintext, randomUUID());
  const faults = [
    refuses("Internal", {}, "after"),
    refuses("AccessDenied"),
    hangsUp("after"),
    truncates,
    says(
      200,
      { "content-type": "application/json" },
      `{"plaintext":${JSON.stringify(plaintext.toString("base64"))}`,
    ),
    says(200, { "content-type": "application/json" }, `{"ciphertext":7,"plaintext":"marked-seed"}`),
    says(502, { "content-type": "text/html" }, "marked-seed"),
  ];
  for (const fault of faults) {
    for (const broker of brokers) broker.always = fault;
    const errors = [
      await serviceErrorOf(client.encrypt(plaintext, "uid", { deadlineMs: 250 })),
      await serviceErrorOf(client.decrypt({ ciphertext: brokers[0]!.seal(plaintext) }, { deadlineMs: 250 })),
      await serviceErrorOf(client.decrypt({ ...encrypted, ciphertext: plaintext }, { deadlineMs: 250 })),
    ];
    for (const error of errors) told.push(String(error), error?.details ?? "");
  }
  told.push(...lines, (await http("/metrics")).text, (await http("/readyz")).text);
  const d = textField(readFileSync(join(folder, "node-key.json"), "utf8"), "d");
  const tokens = brokers.flatMap(({ calls }) => calls.map(({ headers }) => headers.authorization ?? ""));
  const secrets = [
    "marked-seed",
    plaintext.toString("base64").slice(0, 20),
    plaintext.toString("hex"),
    d,
    ...tokens.map((token) => token.split(".").at(-1) ?? token),
  ];
  expect(tokens.length).toBeGreaterThan(10);
  const everything = told.join("\n");
  for (const secret of secrets) expect(everything).not.toContain(secret);
});

describe("the HTTP endpoint", () => {
  test("shows metrics of calls, cache, brokers and health", async () => {
    const broker = await startBroker();
    const { client, http } = await startReady([broker]);
    const encrypted = await client.encrypt(randomBytes(32));
    await client.decrypt(encrypted);
    const { text } = await http("/metrics");
    for (const line of [
      'kek_shim_requests_total{method="Encrypt",code="OK"} 1',
      'kek_shim_requests_total{method="Decrypt",code="OK"} 1',
      'kek_shim_cache_total{result="hit"} 1',
      "kek_shim_cache_entries 1",
      `kek_shim_broker_calls_total{broker="${broker.url}",operation="wrap",result="ok"} 1`,
      "kek_shim_healthy 1",
    ]) {
      expect(text).toContain(line);
    }
  });

  test("has nothing else, and takes GET alone", async () => {
    const { shim, http } = await startReady([await startBroker()]);
    expect((await http("/")).status).toBe(404);
    expect((await http("//")).status).toBe(404);
    expect((await request(`${shim.httpUrl}/livez`, { method: "POST" })).statusCode).toBe(405);
  });
});
