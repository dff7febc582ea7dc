import { createServer, type ServerResponse } from "node:http";

import { crc32c } from "@aws-crypto/crc32c";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import type { AccessTokenSource } from "../../src/kms/access-token.ts";
import { createGcpProvider } from "../../src/kms/gcp.ts";
import { takeJson } from "../../src/kms/gcp-http.ts";
import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import { type KeyProvider, ProviderError } from "../../src/kms/key-provider.ts";
import { GoogleStatus } from "../emulators/google-status.ts";
import {
  type LoopbackServer,
  type Received,
  type Reply,
  startLoopbackServer,
} from "../emulators/loopback-server.ts";
import { failure } from "./google-failure.ts";

const KEY = "projects/kek-broker-test/locations/europe-west1/keyRings/ring/cryptoKeys/key";
/** For a busy machine. */
const PATIENCE = { interval: 5, timeout: 20_000 };
vi.setConfig({ testTimeout: 30_000 });

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const SECRET = new Uint8Array(32).fill(7);
const CIPHERTEXT = new Uint8Array(113).fill(9);
const TOKEN = "ya29.the-secret-token";

/** Answers what the test wrote, so it shows what we make of an answer, never what Google answers. */
let google: LoopbackServer;
let elsewhere: LoopbackServer;
let replies: Reply[];
let requests: Received[];
let strayed: Received[];

beforeAll(async () => {
  google = await startLoopbackServer((request) => {
    requests.push(request);
    const reply = replies.shift();
    if (reply === undefined) throw new Error("not in the script");
    return reply;
  });
  elsewhere = await startLoopbackServer((request) => {
    strayed.push(request);
    return json(ENCRYPTED);
  });
});
afterAll(() => Promise.all([google.close(), elsewhere.close()]));
beforeEach(() => {
  [replies, requests, strayed] = [[], [], []];
});

const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const json = (body: unknown, status = 200): Reply => ({
  status,
  headers: { "content-type": "application/json; charset=UTF-8" },
  body: typeof body === "string" ? body : JSON.stringify(body),
});
const failed = (error: GoogleStatus) => json(error.toJson(), error.http);
const ENCRYPTED = {
  name: `${KEY}/cryptoKeyVersions/3`,
  ciphertext: base64(CIPHERTEXT),
  ciphertextCrc32c: String(crc32c(CIPHERTEXT)),
  verifiedPlaintextCrc32c: true,
  verifiedAdditionalAuthenticatedDataCrc32c: true,
  protectionLevel: "SOFTWARE",
};
const DECRYPTED = { plaintext: base64(SECRET), plaintextCrc32c: String(crc32c(SECRET)), usedPrimary: true };
const DESCRIBED = {
  name: KEY,
  purpose: "ENCRYPT_DECRYPT",
  primary: { name: `${KEY}/cryptoKeyVersions/3`, state: "ENABLED" },
};

const call = (signal: AbortSignal = AbortSignal.timeout(10_000)) => ({ signal, requestId: "request-1" });
const source: AccessTokenSource = async () => ({ token: TOKEN, expiresAt: Number.MAX_SAFE_INTEGER });

const transports = [
  {
    name: "REST by fetch",
    open: (endpoint: string, accessToken = source) => createGoogleRest({ endpoint, accessToken }),
  },
  {
    name: "the SDK over REST",
    open: (endpoint: string, accessToken = source) =>
      createGoogleSdk({ endpoint, transport: "rest", accessToken }),
  },
];

describe.each(transports)("$name", ({ open }) => {
  let provider: KeyProvider;
  const providerWith = (accessToken?: AccessTokenSource, url = google.url) =>
    createGcpProvider({ cryptoKey: KEY, transport: open(url, accessToken) });
  beforeEach(() => {
    provider = providerWith();
  });

  it("sends Google's JSON, the token, and our request's id as the reason", async () => {
    replies = [json(ENCRYPTED), json(DECRYPTED), json(DESCRIBED)];
    const { wrap } = await provider.wrap(SECRET, CONTEXT, call());
    await provider.unwrap(wrap, CONTEXT, call());
    expect(await provider.currentVersion(call())).toBe("3");

    expect(requests.map(({ method, path }) => `${method} ${path.split("?")[0]}`)).toStrictEqual([
      `POST /v1/${KEY}:encrypt`,
      `POST /v1/${KEY}:decrypt`,
      `GET /v1/${KEY}`,
    ]);
    for (const { headers } of requests) {
      expect(headers).toMatchObject({
        authorization: `Bearer ${TOKEN}`,
        "x-goog-request-reason": "request-1",
      });
    }
    const [encrypt, decrypt] = requests.map(({ body }) => body.toString()).filter((body) => body !== "");
    const aad = {
      additionalAuthenticatedData: expect.stringMatching(/^[A-Za-z0-9+/]+=*$/),
      additionalAuthenticatedDataCrc32c: expect.stringMatching(/^[0-9]+$/),
    };
    expect(JSON.parse(encrypt ?? "")).toStrictEqual({
      ...aad,
      plaintext: base64(SECRET),
      plaintextCrc32c: String(crc32c(SECRET)),
    });
    expect(JSON.parse(decrypt ?? "")).toStrictEqual({
      ...aad,
      ciphertext: base64(CIPHERTEXT),
      ciphertextCrc32c: String(crc32c(CIPHERTEXT)),
    });
  });

  it.each([
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
  ] as const)("asks once, whatever is answered: %s", async (status) => {
    replies = [failed(new GoogleStatus(status, "no")), json(ENCRYPTED)];
    await failure(provider.wrap(SECRET, CONTEXT, call()));
    expect(requests.length).toBe(1);
    replies = [failed(new GoogleStatus(status, "no")), json(DESCRIBED)];
    await failure(provider.currentVersion(call()));
    expect(requests.length).toBe(2);
  });

  it.each([301, 302, 303, 307, 308])(
    "follows no redirect, and shows the token to nobody else: %i",
    async (status) => {
      replies = [{ status, headers: { location: `${elsewhere.url}/v1/${KEY}:encrypt` }, body: "" }];
      expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
      expect(strayed).toStrictEqual([]);
    },
  );

  const notEncrypted: { what: string; body: unknown }[] = [
    { what: "nothing", body: "" },
    { what: "a page", body: "<html>" },
    { what: "half of it", body: JSON.stringify(ENCRYPTED).slice(0, 50) },
    { what: "null", body: null },
    { what: "a list", body: [] },
    { what: "an empty object", body: {} },
    ...Object.keys(ENCRYPTED)
      .filter((field) => field !== "protectionLevel")
      .map((field) => ({ what: `no ${field}`, body: { ...ENCRYPTED, [field]: undefined } })),
    ...["AA=A", "A", "*", 7, {}].map((ciphertext) => ({
      what: `a ciphertext of ${JSON.stringify(ciphertext)}`,
      body: { ...ENCRYPTED, ciphertext },
    })),
    ...["-1", "4294967296", "1e3", "text", -1, 0.5, {}, true].map((ciphertextCrc32c) => ({
      what: `a sum of ${JSON.stringify(ciphertextCrc32c)}`,
      body: { ...ENCRYPTED, ciphertextCrc32c },
    })),
    { what: "another type of name", body: { ...ENCRYPTED, name: 7 } },
    { what: "a flag in words", body: { ...ENCRYPTED, verifiedPlaintextCrc32c: "true" } },
  ];
  it.each(notEncrypted)("finds $what no answer to Encrypt: Unavailable", async ({ body }) => {
    replies = [json(body)];
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
  });

  it.each([
    { ...DECRYPTED, plaintext: undefined },
    { ...DECRYPTED, plaintextCrc32c: undefined },
    { ...DECRYPTED, plaintext: base64(SECRET.subarray(1)) },
    {},
    "garbage",
  ])("finds no answer to Decrypt in %j: Unavailable", async (body) => {
    replies = [json(body)];
    expect((await failure(provider.unwrap(CIPHERTEXT, CONTEXT, call()))).code).toBe("Unavailable");
  });

  it.each([
    { ...DESCRIBED, name: undefined },
    { ...DESCRIBED, name: 7 },
    { ...DESCRIBED, primary: "first" },
    { ...DESCRIBED, primary: { state: "ENABLED" } },
    "garbage",
  ])("finds no answer to GetCryptoKey in %j: Unavailable", async (body) => {
    replies = [json(body)];
    expect((await failure(provider.currentVersion(call()))).code).toBe("Unavailable");
  });

  it("ignores what it does not know", async () => {
    replies = [json({ ...ENCRYPTED, tomorrow: { is: "another day" } })];
    await expect(provider.wrap(SECRET, CONTEXT, call())).resolves.toMatchObject({ keyVersion: "3" });
  });

  it.each([200, 500, 403])("stops reading after 64 KiB: HTTP %i", async (status) => {
    replies = [json({ ...ENCRYPTED, more: "x".repeat(70_000) }, status)];
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
  });

  it("takes a page of a load balancer by its status", async () => {
    replies = [
      { status: 502, headers: { "content-type": "text/html" }, body: "<html>" },
      { status: 403, headers: { "content-type": "text/html" }, body: "<html>" },
    ];
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("AccessDenied");
  });

  it("tells nothing of an error but its status and reason", async () => {
    const text = `${KEY} refused ${base64(SECRET)} to ${TOKEN}`;
    replies = [
      failed(
        new GoogleStatus("PERMISSION_DENIED", text, {
          reason: "IAM_PERMISSION_DENIED",
          domain: "cloudkms.googleapis.com",
          metadata: { resource: KEY },
        }),
      ),
    ];
    const error = await failure(provider.wrap(SECRET, CONTEXT, call()));
    expect(error).toMatchObject({
      code: "AccessDenied",
      message: "Google Cloud KMS Encrypt: PERMISSION_DENIED, IAM_PERMISSION_DENIED",
    });
  });

  it("asks for no answer without a token, and hands on why there is none", async () => {
    const why = new ProviderError("Throttled", "identity: too many exchanges");
    expect(await failure(providerWith(() => Promise.reject(why)).wrap(SECRET, CONTEXT, call()))).toBe(why);
    expect(requests).toStrictEqual([]);
  });

  it("does not tell what a source throws that throws anything else", async () => {
    const broken = providerWith(() => Promise.reject(new Error(`${TOKEN} is broken`)));
    expect((await failure(broken.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
    expect(requests).toStrictEqual([]);
  });

  it("asks the source for each call, and ends it with the call", async () => {
    const seen: AbortSignal[] = [];
    const provider = providerWith((signal) => {
      seen.push(signal);
      return new Promise((_resolve, reject) => {
        signal.addEventListener("abort", () => reject(new Error("aborted")));
      });
    });
    const controller = new AbortController();
    const ended = failure(provider.wrap(SECRET, CONTEXT, call(controller.signal)));
    await vi.waitUntil(() => seen.length > 0, PATIENCE);
    controller.abort();
    expect((await ended).code).toBe("Timeout");
  });

  it("is Unavailable when nobody listens", async () => {
    const gone = await startLoopbackServer(() => "reset");
    await gone.close();
    const { code } = await failure(providerWith(source, gone.url).wrap(SECRET, CONTEXT, call()));
    expect(code).toBe("Unavailable");
  });

  it("ends at the call's signal in the middle of an answer, with Timeout", async () => {
    let begun: ServerResponse | undefined;
    const server = createServer((_request, response) => {
      begun = response.writeHead(200, { "content-type": "application/json" });
      response.write('{"name":');
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const address = server.address();
    if (address === null || typeof address === "string") throw new Error("not listening on TCP");
    try {
      const provider = providerWith(source, `http://127.0.0.1:${address.port}`);
      const controller = new AbortController();
      const ended = failure(provider.wrap(SECRET, CONTEXT, call(controller.signal)));
      await vi.waitUntil(() => begun !== undefined, PATIENCE);
      controller.abort();
      expect((await ended).code).toBe("Timeout");
      await vi.waitUntil(() => begun?.destroyed === true, PATIENCE);
    } finally {
      server.closeAllConnections();
      server.close();
    }
  });
});

describe("REST by fetch", () => {
  it("keeps no bytes of an answer that it has read, as they may be a plaintext's", () => {
    for (const text of [JSON.stringify(DECRYPTED), "garbage"]) {
      const bytes = new TextEncoder().encode(text);
      try {
        takeJson(bytes);
      } catch {
        // The same for what is no JSON.
      }
      expect(bytes).toStrictEqual(new Uint8Array(text.length));
    }
  });

  it("takes no answer that is not UTF-8, as text with bytes replaced could pass for another", async () => {
    const body = Buffer.from(JSON.stringify({ ...DESCRIBED, etag: "?" }));
    body[body.indexOf("?")] = 0xff;
    replies = [{ status: 200, headers: { "content-type": "application/json" }, body }];
    const transport = createGoogleRest({ endpoint: google.url, accessToken: source });
    const provider = createGcpProvider({ cryptoKey: KEY, transport });
    expect((await failure(provider.currentVersion(call()))).code).toBe("Unavailable");
  });
});
