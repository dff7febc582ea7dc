import { crc32c } from "@aws-crypto/crc32c";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { credentials } from "@grpc/grpc-js";
import { PassThroughClient } from "google-auth-library";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../emulators/google-kms-fake.ts";
import lengths from "../vectors/wrap-lengths.json" with { type: "json" };

// The SDK takes its time to load on a busy machine.
vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 });

const AAD = Buffer.from("who and what for");
const call = { signal: new AbortController().signal, requestId: "request-1" };
const accessToken = async () => ({ token: "a-token", expiresAt: Number.MAX_SAFE_INTEGER });

/** Nothing of ours between: Google's client as it is, and JSON by hand. */
let fake: GoogleKmsFake;
let client: KeyManagementServiceClient;
beforeAll(async () => {
  fake = await startGoogleKmsFake();
  client = new KeyManagementServiceClient({
    apiEndpoint: "127.0.0.1",
    port: Number(new URL(fake.grpcUrl).port),
    sslCreds: credentials.createInsecure(),
    authClient: new PassThroughClient(),
  });
});
afterAll(async () => {
  await client.close();
  await fake.close();
});

async function post(path: string, body: unknown, query = "") {
  const response = await fetch(`${fake.restUrl}/v1/${path}${query}`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, body: await response.json() };
}
const get = async (path: string, query = "") => (await fetch(`${fake.restUrl}/v1/${path}${query}`)).json();

describe("our fake of Google Cloud KMS, to Google's client", () => {
  it("encrypts and decrypts, with another ciphertext each time", async () => {
    const name = fake.admin.createKey();
    const plaintext = Buffer.from("a secret");
    const [first] = await client.encrypt({ name, plaintext, additionalAuthenticatedData: AAD });
    const [second] = await client.encrypt({ name, plaintext, additionalAuthenticatedData: AAD });
    expect(first.ciphertext).not.toStrictEqual(second.ciphertext);
    const { ciphertext } = first;
    const [opened] = await client.decrypt({
      name,
      ciphertext: ciphertext ?? "",
      additionalAuthenticatedData: AAD,
    });
    expect(opened).toMatchObject({ plaintext, usedPrimary: true, protectionLevel: "SOFTWARE" });
    await expect(client.decrypt({ name, ciphertext: ciphertext ?? "" })).rejects.toMatchObject({
      code: 3,
      details: "Decryption failed: the ciphertext is invalid.",
    });
    fake.admin.rotate(name);
    const [older] = await client.decrypt({
      name,
      ciphertext: ciphertext ?? "",
      additionalAuthenticatedData: AAD,
    });
    expect(older.usedPrimary).toBe(false);
  });

  it("verifies sums where they are sent, and says whether they were", async () => {
    const name = fake.admin.createKey();
    const plaintext = Buffer.from("a secret");
    const [unsummed] = await client.encrypt({ name, plaintext });
    expect(unsummed).toMatchObject({
      verifiedPlaintextCrc32c: false,
      verifiedAdditionalAuthenticatedDataCrc32c: false,
    });
    const wrong = client.encrypt({ name, plaintext, plaintextCrc32c: { value: crc32c(plaintext) ^ 1 } });
    await expect(wrong).rejects.toMatchObject({
      code: 3,
      details: "The checksum in field plaintext_crc32c did not match the data in field plaintext.",
    });
  });

  it("says what state a version is in that is not enabled", async () => {
    const name = fake.admin.createKey();
    const [{ ciphertext }] = await client.encrypt({ name, plaintext: Buffer.from("a secret") });
    for (const state of ["DISABLED", "DESTROY_SCHEDULED", "DESTROYED"] as const) {
      fake.admin.setState(name, state);
      const refusal = {
        code: 9,
        details: `${name}/cryptoKeyVersions/1 is not enabled, current state is: ${state}.`,
      };
      await expect(client.decrypt({ name, ciphertext: ciphertext ?? "" })).rejects.toMatchObject(refusal);
      await expect(client.encrypt({ name, plaintext: Buffer.from("1") })).rejects.toMatchObject(refusal);
      const [{ primary }] = await client.getCryptoKey({ name });
      expect(primary?.state).toBe(state);
    }
    fake.admin.setState(name, "ENABLED");
    await expect(client.decrypt({ name, ciphertext: ciphertext ?? "" })).rejects.toMatchObject({ code: 9 });
  });

  it("refuses more than 64 KiB of plaintext or AAD, and takes that much", async () => {
    const name = fake.admin.createKey();
    const most = Buffer.alloc(64 * 1024);
    const [{ ciphertext }] = await client.encrypt({
      name,
      plaintext: most,
      additionalAuthenticatedData: most,
    });
    const [{ plaintext }] = await client.decrypt({
      name,
      ciphertext: ciphertext ?? "",
      additionalAuthenticatedData: most,
    });
    expect(plaintext).toStrictEqual(most);
    const more = Buffer.alloc(64 * 1024 + 1);
    await expect(client.encrypt({ name, plaintext: more })).rejects.toMatchObject({ code: 3 });
    const aadTooLong = client.encrypt({ name, plaintext: AAD, additionalAuthenticatedData: more });
    await expect(aadTooLong).rejects.toMatchObject({ code: 3 });
  });

  it("names the permission and the key where it denies", async () => {
    const name = fake.admin.createKey();
    fake.admin.forbid(name);
    await expect(client.encrypt({ name, plaintext: AAD })).rejects.toMatchObject({
      code: 7,
      reason: "IAM_PERMISSION_DENIED",
      errorInfoMetadata: { permission: "cloudkms.cryptoKeyVersions.useToEncrypt", resource: name },
    });
    fake.admin.permit(name);
    await expect(client.encrypt({ name, plaintext: AAD })).resolves.toBeDefined();
  });

  it("finds no key that is in another location, nor any location that Google does not have", async () => {
    const name = fake.admin.createKey();
    for (const location of ["us-central1", "atlantis"]) {
      const elsewhere = name.replace("europe-west1", location);
      await expect(client.getCryptoKey({ name: elsewhere })).rejects.toMatchObject({ code: 5 });
    }
    // Without the header that Google's client adds, requests go to the global location.
    await client.initialize();
    await expect(client.innerApiCalls["getCryptoKey"]?.({ name })).rejects.toMatchObject({
      code: 5,
      details: expect.stringContaining("but was sent to location 'global'"),
    });
  });
});

describe("our fake of Google Cloud KMS, in JSON", () => {
  const plaintext = Buffer.from("a secret").toString("base64");

  it("writes what proto3 does: sums as texts, bytes in base64, nothing for false", async () => {
    const name = fake.admin.createKey();
    const { status, body } = await post(`${name}:encrypt`, { plaintext });
    expect(status).toBe(200);
    expect(body).toStrictEqual({
      name: `${name}/cryptoKeyVersions/1`,
      ciphertext: expect.any(String),
      ciphertextCrc32c: expect.stringMatching(/^[0-9]+$/),
      protectionLevel: "SOFTWARE",
    });
    expect(await get(name)).toMatchObject({ purpose: "ENCRYPT_DECRYPT", primary: { state: "ENABLED" } });
    const numbers = await get(name, "?$alt=json%3Benum-encoding=int");
    expect(numbers).toMatchObject({ purpose: 1, primary: { state: 1 } });
  });

  it.each([
    { what: "a wrong sum", body: { plaintext, plaintextCrc32c: "1" } },
    { what: "a field that it does not know", body: { plaintext, plaintxtCrc32c: "1" } },
    { what: "bytes that are not base64", body: { plaintext: "a secret!" } },
    { what: "a list", body: [] },
  ])("refuses $what", async ({ body }) => {
    const answer = await post(`${fake.admin.createKey()}:encrypt`, body);
    expect(answer).toMatchObject({ status: 400, body: { error: { code: 400, status: "INVALID_ARGUMENT" } } });
  });

  it("has the errors that the other transport has, with their details", async () => {
    const name = fake.admin.createKey();
    fake.admin.forbid(name);
    expect(await post(`${name}:encrypt`, { plaintext })).toMatchObject({
      status: 403,
      body: {
        error: {
          code: 403,
          status: "PERMISSION_DENIED",
          details: [
            {
              "@type": "type.googleapis.com/google.rpc.ErrorInfo",
              reason: "IAM_PERMISSION_DENIED",
              metadata: { permission: "cloudkms.cryptoKeyVersions.useToEncrypt" },
            },
          ],
        },
      },
    });
  });
});

describe("a provider on our fake of Google Cloud KMS", () => {
  const open = (cryptoKey: string) =>
    createGcpProvider({ cryptoKey, transport: createGoogleRest({ endpoint: fake.restUrl, accessToken }) });

  it("gets wraps as long as the recorded ones, and announces the longest", async () => {
    const key = fake.admin.createKey();
    const seen = new Set<number>();
    for (let version = 1; version <= 2; version++) {
      const { wrap } = await open(key).wrap(new Uint8Array(32), { kek: "k", cluster: "c" }, call);
      seen.add(wrap.length);
      fake.admin.rotate(key);
    }
    const { bytes, recorded } = lengths.services.gcpKms;
    expect(seen).toStrictEqual(new Set(Object.keys(recorded).map(Number)));
    expect(open(key).maxWrapBytes).toBe(bytes);
  });

  it("says AccessDenied for an absent key where it has rights to keys alone, as Google hides what is absent", async () => {
    const absent = fake.admin.createKey().replace(/[^/]+$/, "absent");
    await expect(open(absent).currentVersion(call)).rejects.toMatchObject({ code: "KeyUnavailable" });
    fake.admin.grantedOn = "keys";
    try {
      await expect(open(absent).currentVersion(call)).rejects.toMatchObject({ code: "AccessDenied" });
    } finally {
      fake.admin.grantedOn = "project";
    }
  });

  it("says KeyUnavailable for a location that Google does not have", async () => {
    const key = fake.admin.createKey().replace("europe-west1", "atlantis");
    await expect(open(key).currentVersion(call)).rejects.toMatchObject({ code: "KeyUnavailable" });
  });
});
