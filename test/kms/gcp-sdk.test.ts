import { KeyManagementServiceClient, protos } from "@google-cloud/kms";
import { crc32c } from "@aws-crypto/crc32c";
import { type sendUnaryData, Server, ServerCredentials, type ServerUnaryCall } from "@grpc/grpc-js";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import type { AccessTokenSource } from "../../src/kms/access-token.ts";
import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../emulators/google-kms-fake.ts";
import { failure } from "./google-failure.ts";

/** For a busy machine. */
const PATIENCE = { interval: 5, timeout: 20_000 };
vi.setConfig({ testTimeout: 30_000 });

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const SECRET = new Uint8Array(32).fill(7);
const TOKEN = "ya29.the-secret-token";

let fake: GoogleKmsFake;
beforeAll(async () => {
  fake = await startGoogleKmsFake({ accepts: (token) => token === TOKEN });
});
afterAll(() => fake.close());
afterEach(() => vi.unstubAllEnvs());

const call = (signal: AbortSignal = AbortSignal.timeout(10_000)) => ({ signal, requestId: "request-1" });
const accessToken = async () => ({ token: TOKEN, expiresAt: Number.MAX_SAFE_INTEGER });
const open = (cryptoKey: string, endpoint = fake.grpcUrl, token: AccessTokenSource = accessToken) =>
  createGcpProvider({
    cryptoKey,
    transport: createGoogleSdk({ endpoint, transport: "grpc", accessToken: token }),
  });

describe("the SDK over gRPC", () => {
  it("sends the token, our request's id as the reason, and where the key is, as the fake demands", async () => {
    const key = fake.admin.createKey({ location: "us-east1" });
    await open(key).wrap(SECRET, CONTEXT, call());
    expect(fake.calls.at(-1)).toStrictEqual({
      transport: "grpc",
      operation: "Encrypt",
      name: key,
      location: "us-east1",
      token: TOKEN,
      reason: "request-1",
    });
  });

  it.each(["brokenBefore", "brokenAfter", "throttled", "denied"] as const)(
    "asks once, whatever is answered: %s",
    async (fault) => {
      const provider = open(fake.admin.createKey());
      for (const act of [
        () => provider.wrap(SECRET, CONTEXT, call()),
        () => provider.currentVersion(call()),
      ]) {
        const before = fake.calls.length;
        fake.faults.inject(fault);
        await failure(act());
        expect(fake.calls.length - before).toBe(1);
      }
    },
  );

  it("is AccessDenied with a token that is not taken", async () => {
    const other = async () => ({ token: "ya29.another", expiresAt: Number.MAX_SAFE_INTEGER });
    const error = await failure(
      open(fake.admin.createKey(), fake.grpcUrl, other).wrap(SECRET, CONTEXT, call()),
    );
    expect(error).toMatchObject({
      code: "AccessDenied",
      message: "Google Cloud KMS Encrypt: UNAUTHENTICATED, ACCESS_TOKEN_EXPIRED",
    });
  });

  it("ends with the call even where the token's source does not", async () => {
    const controller = new AbortController();
    let asked = false;
    const never = () => {
      asked = true;
      return new Promise<never>(() => {});
    };
    const provider = open(fake.admin.createKey(), fake.grpcUrl, never);
    const ended = failure(provider.wrap(SECRET, CONTEXT, call(controller.signal)));
    await vi.waitUntil(() => asked, PATIENCE);
    controller.abort();
    expect((await ended).code).toBe("Timeout");
  });

  it("is not led elsewhere by the environment's universe domain: the endpoint is configured", async () => {
    vi.stubEnv("GOOGLE_CLOUD_UNIVERSE_DOMAIN", "example.com");
    await expect(open(fake.admin.createKey()).wrap(SECRET, CONTEXT, call())).resolves.toBeDefined();
  });

  it("works again at once after an outage", async () => {
    const provider = open(fake.admin.createKey());
    await provider.wrap(SECRET, CONTEXT, call());
    fake.faults.last("down");
    try {
      for (let tries = 0; tries < 3; tries++) {
        expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
      }
    } finally {
      fake.faults.last(undefined);
    }
    await expect(provider.wrap(SECRET, CONTEXT, call())).resolves.toBeDefined();
  });

  it("leaves no plaintext in the memory that Google's client decoded it into", async () => {
    const decoded: { plaintext: Uint8Array }[] = [];
    const own = Object.getOwnPropertyDescriptor(KeyManagementServiceClient.prototype, "initialize");
    const spy = vi
      .spyOn(KeyManagementServiceClient.prototype, "initialize")
      .mockImplementation(async function (this: KeyManagementServiceClient) {
        const stub = await own?.value.call(this);
        const decrypt = this.innerApiCalls["decrypt"];
        this.innerApiCalls["decrypt"] = (...args: unknown[]) => {
          const pending = decrypt?.(...args);
          void pending.then(([answer]: [{ plaintext: Uint8Array }]) => decoded.push(answer));
          return pending;
        };
        return stub;
      });
    try {
      const provider = open(fake.admin.createKey());
      const { wrap } = await provider.wrap(SECRET, CONTEXT, call());
      expect((await provider.unwrap(wrap, CONTEXT, call())).plaintext).toStrictEqual(SECRET);
    } finally {
      spy.mockRestore();
    }
    expect(decoded.map(({ plaintext }) => [...plaintext])).toStrictEqual([Array(32).fill(0)]);
  });

  it("writes no secret to stderr where the environment asks Google's libraries to log", async () => {
    vi.stubEnv("GOOGLE_SDK_NODE_LOGGING", "*");
    const written: string[] = [];
    const note = (...parts: readonly unknown[]) => {
      written.push(parts.map(String).join(" "));
      return true;
    };
    const spies = [
      vi.spyOn(process.stderr, "write").mockImplementation(note),
      vi.spyOn(console, "error").mockImplementation(note),
    ];
    try {
      const provider = open(fake.admin.createKey());
      const { wrap } = await provider.wrap(SECRET, CONTEXT, call());
      await provider.unwrap(wrap, CONTEXT, call());
    } finally {
      for (const spy of spies) spy.mockRestore();
    }
    expect(written.join("")).not.toMatch(/plaintext|BwcHBwcH|ya29/);
  });
});

const v1 = protos.google.cloud.kms.v1;

/** Answers Encrypt as the test wants it, which the fake would not. */
async function startGrpc(
  encrypt: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => void,
) {
  const server = new Server();
  const asIs = (bytes: Buffer) => bytes;
  const method = {
    path: "/google.cloud.kms.v1.KeyManagementService/Encrypt",
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: asIs,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  } as const;
  server.addService({ encrypt: method }, { encrypt });
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error === null ? resolve(port) : reject(error),
    );
  });
  return { url: `http://127.0.0.1:${port}`, close: () => server.forceShutdown() };
}

describe("the SDK over gRPC, with a server that misbehaves", () => {
  const key = "projects/p/locations/global/keyRings/r/cryptoKeys/k";
  const answer = (fields: object) => Buffer.from(v1.EncryptResponse.encode(fields).finish());
  const summed = (length: number) => {
    const ciphertext = new Uint8Array(length);
    return { ciphertext, ciphertextCrc32c: { value: crc32c(ciphertext) } };
  };
  const whole = {
    name: `${key}/cryptoKeyVersions/1`,
    ...summed(114),
    verifiedPlaintextCrc32c: true,
    verifiedAdditionalAuthenticatedDataCrc32c: true,
  };

  it("tells the server when the call's signal ends it", async () => {
    let cancelled = false;
    let begun = false;
    const server = await startGrpc((call) => {
      begun = true;
      call.once("cancelled", () => (cancelled = true));
    });
    try {
      const controller = new AbortController();
      const ended = failure(open(key, server.url).wrap(SECRET, CONTEXT, call(controller.signal)));
      await vi.waitUntil(() => begun, PATIENCE);
      controller.abort();
      expect((await ended).code).toBe("Timeout");
      await vi.waitUntil(() => cancelled, PATIENCE);
    } finally {
      server.close();
    }
  });

  it.each([
    { what: "an answer of over 64 KiB", bytes: answer({ ...whole, ...summed(70_000) }) },
    { what: "an empty answer", bytes: answer({}) },
    { what: "no checksum", bytes: answer({ ...whole, ciphertextCrc32c: null }) },
    { what: "a negative checksum", bytes: answer({ ...whole, ciphertextCrc32c: { value: -1 } }) },
    { what: "a checksum of over 32 bits", bytes: answer({ ...whole, ciphertextCrc32c: { value: 2 ** 32 } }) },
    { what: "another ciphertext", bytes: answer({ ...whole, ciphertext: new Uint8Array(113) }) },
    { what: "no ciphertext", bytes: answer({ ...whole, ciphertext: null }) },
    { what: "an unverified plaintext", bytes: answer({ ...whole, verifiedPlaintextCrc32c: false }) },
    { what: "no name", bytes: answer({ ...whole, name: "" }) },
    { what: "what is no message", bytes: Buffer.from("garbage") },
  ])("takes $what for Unavailable", async ({ bytes }) => {
    const server = await startGrpc((_call, respond) => respond(null, bytes));
    try {
      const { code } = await failure(open(key, server.url).wrap(SECRET, CONTEXT, call()));
      expect(code).toBe("Unavailable");
    } finally {
      server.close();
    }
  });

  it("takes the whole answer", async () => {
    const server = await startGrpc((_call, respond) => respond(null, answer(whole)));
    try {
      const { keyVersion } = await open(key, server.url).wrap(SECRET, CONTEXT, call());
      expect(keyVersion).toBe("1");
    } finally {
      server.close();
    }
  });
});
