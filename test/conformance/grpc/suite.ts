import { randomBytes, randomUUID } from "node:crypto";

import { status as Code } from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { encryptRequest, grpcCodeOf, KmsClient, serviceErrorOf } from "./kms-client.ts";
import type { Encrypted } from "./kms-client.ts";
import { frame, rawRequest, writeGarbage } from "./raw-http2.ts";

export interface KmsV2Target {
  /** The socket's path; a function if it is known only once the tests run. */
  readonly socket: string | (() => string);
  /** What Status may name as its version. */
  readonly versions?: readonly string[];
  /** How many single-bit changes of one ciphertext are tried, spread over all of it. */
  readonly bitFlips?: number;
}

/** What kube-apiserver accepts. */
const MAX_CIPHERTEXT = 1_024;
const MAX_KEY_ID = 1_024;
const MAX_ANNOTATIONS = 32_768;
const FQDN = /^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z0-9]([a-z0-9-]*[a-z0-9])?$/;
/** A refusal that says whose fault it is. */
const REFUSALS: readonly number[] = [
  Code.INVALID_ARGUMENT,
  Code.PERMISSION_DENIED,
  Code.FAILED_PRECONDITION,
  Code.NOT_FOUND,
];
const READY_WITHIN_MS = 20_000;
/** Hundreds of calls, perhaps to a real cloud behind them, perhaps on a busy machine. */
const SLOW = { timeout: 60_000 };
const HTTP2_PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/** What any KMS v2 plugin that works must do, as a client on its socket sees it. The plugin must be up and healthy. */
export function describeKmsV2Socket(target: KmsV2Target): void {
  const pathOf = () => (typeof target.socket === "string" ? target.socket : target.socket());
  let client: KmsClient;

  beforeAll(async () => {
    client = new KmsClient(pathOf());
    await untilHealthy(client);
  }, READY_WITHIN_MS * 2);
  afterAll(() => client.close());

  const decrypted = (encrypted: Encrypted) => client.decrypt({ ...encrypted, uid: randomUUID() });
  const expectItWorks = async (): Promise<void> => {
    const plaintext = randomBytes(32);
    expect(await decrypted(await client.encrypt(plaintext, randomUUID()))).toEqual(plaintext);
  };

  describe("Status", () => {
    test("names its version, says ok, and has a key id that an apiserver accepts", async () => {
      const { version, healthz, keyId } = await client.status();
      expect(target.versions ?? ["v2", "v2beta1"]).toContain(version);
      expect(healthz).toBe("ok");
      expect(Buffer.byteLength(keyId)).toBeGreaterThan(0);
      expect(Buffer.byteLength(keyId)).toBeLessThanOrEqual(MAX_KEY_ID);
    });

    test("answers the same key id to everyone", async () => {
      const other = new KmsClient(pathOf());
      const ids = await Promise.all(
        [client, other, client, other].map(async (one) => (await one.status()).keyId),
      );
      other.close();
      expect(new Set(ids).size).toBe(1);
    });
  });

  describe("Encrypt and Decrypt", () => {
    test.each([1, 31, 32, 33, 255, 256])("a plaintext of %i bytes comes back", async (size) => {
      const plaintext = randomBytes(size);
      const encrypted = await client.encrypt(plaintext, randomUUID());
      expect(encrypted.ciphertext.length).toBeGreaterThan(0);
      expect(await decrypted(encrypted)).toEqual(plaintext);
      expect(await decrypted(encrypted)).toEqual(plaintext);
    });

    test.each([
      ["zeros", Buffer.alloc(32)],
      ["ones", Buffer.alloc(32, 0xff)],
      ["text", Buffer.from("not a key but text: ÄÖÜ \r\n\0 end")],
    ])("%s come back as they are", async (_name, plaintext) => {
      expect(await decrypted(await client.encrypt(plaintext, randomUUID()))).toEqual(plaintext);
    });

    test("a 32-byte seed fits what an apiserver stores, annotations included", async () => {
      const { ciphertext, annotations } = await client.encrypt(randomBytes(32), randomUUID());
      expect(ciphertext.length).toBeLessThanOrEqual(MAX_CIPHERTEXT);
      let total = 0;
      for (const [key, value] of annotations) {
        expect(key).toMatch(FQDN);
        total += Buffer.byteLength(key) + value.length;
      }
      expect(total).toBeLessThanOrEqual(MAX_ANNOTATIONS);
    });

    test("Encrypt's key id is Status's", async () => {
      const before = await client.status();
      const { keyId } = await client.encrypt(randomBytes(32), randomUUID());
      expect(keyId).toBe(before.keyId);
    });

    test("the same plaintext never makes the same ciphertext, nor shows in it", async () => {
      const plaintext = randomBytes(32);
      const all = await Promise.all(Array.from({ length: 8 }, () => client.encrypt(plaintext, randomUUID())));
      expect(new Set(all.map(({ ciphertext }) => ciphertext.toString("hex"))).size).toBe(all.length);
      for (const { ciphertext, annotations } of all) {
        for (const bytes of [ciphertext, ...annotations.values()])
          expect(bytes.includes(plaintext)).toBe(false);
      }
    });

    test("another connection decrypts, with or without a uid", async () => {
      const plaintext = randomBytes(32);
      const encrypted = await client.encrypt(plaintext);
      const other = new KmsClient(pathOf());
      expect(await other.decrypt(encrypted)).toEqual(plaintext);
      other.close();
    });
  });

  describe("what cannot be decrypted is refused, and nothing breaks", SLOW, () => {
    test("a bit changed anywhere", async () => {
      const plaintext = randomBytes(32);
      const encrypted = await client.encrypt(plaintext, randomUUID());
      const bits = spread(encrypted.ciphertext.length * 8, target.bitFlips ?? 160);
      const accepted: number[] = [];
      for (const bit of bits) {
        const code = await grpcCodeOf(
          decrypted({ ...encrypted, ciphertext: flip(encrypted.ciphertext, bit) }),
        );
        if (!REFUSALS.includes(code)) accepted.push(bit);
      }
      expect(accepted).toEqual([]);
      expect(await decrypted(encrypted)).toEqual(plaintext);
    });

    test("cut off, lengthened, doubled, reversed", async () => {
      const encrypted = await client.encrypt(randomBytes(32), randomUUID());
      const { ciphertext } = encrypted;
      const cuts = spread(ciphertext.length - 1, 12).map((length) => ciphertext.subarray(0, length + 1));
      const others = [
        ciphertext.subarray(1),
        Buffer.concat([ciphertext, Buffer.alloc(1)]),
        Buffer.concat([Buffer.alloc(1), ciphertext]),
        Buffer.concat([ciphertext, ciphertext]),
        Buffer.from(ciphertext.toReversed()),
      ];
      for (const changed of [...cuts, ...others]) {
        expect(REFUSALS).toContain(await grpcCodeOf(decrypted({ ...encrypted, ciphertext: changed })));
      }
      await expectItWorks();
    });

    test("random bytes of any length an envelope may have", async () => {
      for (const size of [1, 2, 12, 28, 32, 60, 256, 1_023, 1_024]) {
        expect(REFUSALS).toContain(await grpcCodeOf(client.decrypt({ ciphertext: randomBytes(size) })));
      }
      await expectItWorks();
    });

    test("the plaintext of a refused Decrypt is told nowhere", async () => {
      const plaintext = Buffer.from("marked-seed-marked-seed-marked-s");
      const encrypted = await client.encrypt(plaintext, randomUUID());
      const error = await serviceErrorOf(
        decrypted({ ...encrypted, ciphertext: flip(encrypted.ciphertext, 77) }),
      );
      expect(error).toBeDefined();
      expect(`${error?.message} ${error?.details}`).not.toContain("marked-seed");
    });
  });

  describe("what is malformed is refused, and nothing breaks", SLOW, () => {
    test("an empty plaintext, an empty ciphertext", async () => {
      expect(await grpcCodeOf(client.encrypt(Buffer.alloc(0), randomUUID()))).toBe(Code.INVALID_ARGUMENT);
      expect(await grpcCodeOf(client.decrypt({ ciphertext: Buffer.alloc(0) }))).toBe(Code.INVALID_ARGUMENT);
      expect((await serviceErrorOf(client.encrypt(Buffer.alloc(0))))?.details).toMatch(/plaintext/);
    });

    test("a plaintext that is no key but a document", async () => {
      expect(await grpcCodeOf(client.encrypt(randomBytes(8_192)))).toBe(Code.INVALID_ARGUMENT);
    });

    test("a message far larger than any", async () => {
      const code = await grpcCodeOf(client.encrypt(randomBytes(3_000_000)));
      expect([Code.RESOURCE_EXHAUSTED, Code.INVALID_ARGUMENT]).toContain(code);
      await expectItWorks();
    });

    test("bytes that are no protobuf", async () => {
      const messages = [
        Buffer.from([0xff]),
        Buffer.from([0x0a, 0x7f, 0x01]),
        Buffer.from([0x12, 0x01, 0xff]),
      ];
      for (const message of messages) {
        for (const method of ["Encrypt", "Decrypt"]) {
          expect(await grpcCodeOf(client.call(method, message))).toBe(Code.INVALID_ARGUMENT);
        }
      }
      await expectItWorks();
    });

    test("a uid that is long, or no ASCII, is no reason to refuse", async () => {
      for (const uid of ["ü", "a".repeat(300), "with space", "line\nbreak"]) {
        expect(await grpcCodeOf(client.encrypt(randomBytes(32), uid))).toBe(Code.OK);
      }
    });

    test("methods and services that are not there are UNIMPLEMENTED", async () => {
      for (const method of [
        "Rotate",
        "/v1beta1.KeyManagementService/Encrypt",
        "/grpc.health.v1.Health/Check",
      ]) {
        expect(await grpcCodeOf(client.call(method, new Uint8Array()))).toBe(Code.UNIMPLEMENTED);
      }
    });
  });

  describe("a socket full of nonsense", SLOW, () => {
    const preface = Buffer.from(HTTP2_PREFACE);
    const garbage: readonly [string, Buffer][] = [
      ["nothing at all", Buffer.alloc(0)],
      ["one byte", Buffer.from([0])],
      ["random bytes", randomBytes(4_096)],
      ["HTTP/1.1", Buffer.from("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")],
      ["a TLS hello", Buffer.from("16030100a5010000a10303", "hex")],
      ["half a preface", preface.subarray(0, 10)],
      ["a preface and random frames", Buffer.concat([preface, randomBytes(4_096)])],
      ["a preface and a frame of 16 MiB", Buffer.concat([preface, Buffer.from("ffffff000000000001", "hex")])],
      ["a preface, settings and a broken header block", Buffer.concat([preface, SETTINGS, BROKEN_HEADERS])],
    ];
    test.each(garbage)("%s", async (_name, bytes) => {
      await writeGarbage(pathOf(), bytes);
      expect((await client.status()).healthz).toBe("ok");
      await expectItWorks();
    });

    test("forty such connections at once, left open, while calls go on", async () => {
      const open = Array.from({ length: 40 }, () => writeGarbage(pathOf(), randomBytes(512), 500));
      await expectItWorks();
      await Promise.all(open);
      expect((await client.status()).healthz).toBe("ok");
      await expectItWorks();
    });

    test("HTTP/2 requests that are no gRPC", async () => {
      const path = pathOf();
      const json = await rawRequest(path, { "content-type": "application/json" }, Buffer.from("{}"));
      expect([0, 415]).toContain(json.status);
      await rawRequest(path, { ":path": "/" });
      await rawRequest(path, { ":path": `/${"a".repeat(8_000)}` });
      await rawRequest(path, { ":path": "/v2.KeyManagementService/Stätus" });
      await rawRequest(path, { ":path": "*", ":method": "OPTIONS" });
      await rawRequest(path, { ":method": "GET" });
      await rawRequest(path, { "grpc-timeout": "soon" });
      await rawRequest(path, { "grpc-timeout": "99999999H" }, frame(new Uint8Array()));
      await rawRequest(path, { "x-bin": "\u00ff\u00fe", "some-bin": "not base64!" }, frame(new Uint8Array()));
      await expectItWorks();
    });

    test("gRPC frames that lie", async () => {
      const encrypt = { ":path": "/v2.KeyManagementService/Encrypt" };
      const message = encryptRequest(randomBytes(32), "");
      const bodies = [
        new Uint8Array(),
        Buffer.from([0]),
        frame(message, { length: message.length + 1 }),
        frame(message, { length: message.length - 1 }),
        frame(message, { length: 0xffffffff }),
        Buffer.concat([frame(message), frame(message)]),
      ];
      for (const body of bodies)
        expect((await rawRequest(pathOf(), encrypt, body)).grpcStatus).not.toBe(Code.OK);
      for (const flag of [1, 2, 255]) await rawRequest(pathOf(), encrypt, frame(message, { flag }));
      for (const encoding of ["gzip", "deflate", "identity", "zstd", 'x"y']) {
        await rawRequest(
          pathOf(),
          { ...encrypt, "grpc-encoding": encoding },
          frame(randomBytes(64), { flag: 1 }),
        );
      }
      await expectItWorks();
    });
  });

  describe("callers as they come", SLOW, () => {
    test("64 calls at once on one connection", async () => {
      const plaintexts = Array.from({ length: 64 }, () => randomBytes(32));
      const encrypted = await Promise.all(
        plaintexts.map((plaintext) => client.encrypt(plaintext, randomUUID())),
      );
      expect(await Promise.all(encrypted.map(decrypted))).toEqual(plaintexts);
    });

    test("64 identical Decrypts at once", async () => {
      const plaintext = randomBytes(32);
      const encrypted = await client.encrypt(plaintext, randomUUID());
      const answers = await Promise.all(Array.from({ length: 64 }, () => decrypted(encrypted)));
      expect(answers.every((answer) => answer.equals(plaintext))).toBe(true);
    });

    test.each([
      ["localhost, as Go", () => "localhost"],
      ["the percent-encoded path, as C++ and Python", () => encodeURIComponent(pathOf())],
    ])("the authority %s sends", async (_name, authority) => {
      const other = new KmsClient(pathOf(), { "grpc.default_authority": authority() });
      expect((await other.status()).healthz).toBe("ok");
      other.close();
    });

    test("a caller that leaves at once, fifty times", async () => {
      const calls = Array.from({ length: 50 }, () => {
        const caller = new AbortController();
        const code = grpcCodeOf(client.encrypt(randomBytes(32), randomUUID(), { signal: caller.signal }));
        setImmediate(() => caller.abort());
        return code;
      });
      for (const code of await Promise.all(calls)) expect([Code.CANCELLED, Code.OK]).toContain(code);
      await expectItWorks();
    });

    test("a deadline that has passed is DEADLINE_EXCEEDED", async () => {
      const code = await grpcCodeOf(client.encrypt(randomBytes(32), randomUUID(), { deadlineMs: -1 }));
      expect(code).toBe(Code.DEADLINE_EXCEEDED);
      await grpcCodeOf(client.encrypt(randomBytes(32), randomUUID(), { deadlineMs: 1 }));
      await expectItWorks();
    });

    test("connections come and go, a hundred of them", async () => {
      for (let round = 0; round < 100; round++) {
        const other = new KmsClient(pathOf());
        expect((await other.status()).healthz).toBe("ok");
        other.close();
      }
    });
  });
}

const SETTINGS = Buffer.from("000000040000000000", "hex");
/** A HEADERS frame for stream 1 whose HPACK block refers to an entry that is not there. */
const BROKEN_HEADERS = Buffer.from("000003010500000001ffffff", "hex");

async function untilHealthy(client: KmsClient): Promise<void> {
  const until = Date.now() + READY_WITHIN_MS;
  for (;;) {
    const healthz = await client.status({ deadlineMs: 2_000 }).then(
      (status) => status.healthz,
      (error: Error) => error.message,
    );
    if (healthz === "ok") return;
    if (Date.now() > until) throw new Error(`not healthy within ${READY_WITHIN_MS} ms: ${healthz}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

/** At most `count` of the numbers below `total`, evenly spread, the first and the last among them. */
function spread(total: number, count: number): number[] {
  if (total <= count) return Array.from({ length: total }, (_, index) => index);
  return Array.from({ length: count }, (_, index) => Math.floor((index * (total - 1)) / (count - 1)));
}

function flip(bytes: Buffer, bit: number): Buffer {
  const changed = Buffer.from(bytes);
  changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
  return changed;
}
