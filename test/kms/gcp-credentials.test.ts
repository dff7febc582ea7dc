import { generateKeyPairSync } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { jwtVerify } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";

import { authorizationOf } from "../../src/kms/gcp-credentials.ts";
import { type LoopbackServer, type Reply, startLoopbackServer } from "../emulators/loopback-server.ts";

// Google's library asks four times for a token, which takes two seconds.
vi.setConfig({ testTimeout: 60_000 });

const signal = new AbortController().signal;
const SUBJECT_TOKEN = "the-subject-token";
let folder: string;
let sts: LoopbackServer;
let reply: Reply;
let exchanged: string[];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "kek-gcp-"));
  sts = await startLoopbackServer(({ body }) => {
    exchanged.push(body.toString());
    return reply;
  });
});
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await sts.close();
});
afterEach(() => vi.unstubAllEnvs());

/** Application Default Credentials begin with the file that this variable names. */
function givenCredentials(content: object | string): void {
  const file = join(folder, "credentials.json");
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", file);
}

function givenFederation(answer: Reply): void {
  exchanged = [];
  reply = answer;
  const subject = join(folder, "subject-token");
  writeFileSync(subject, SUBJECT_TOKEN);
  givenCredentials({
    type: "external_account",
    audience: "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
    subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
    token_url: `${sts.url}/v1/token`,
    credential_source: { file: subject },
  });
}

const json = (status: number, body: object): Reply => ({
  status,
  headers: { "content-type": "application/json" },
  body: JSON.stringify(body),
});
const granted = json(200, {
  access_token: "ya29.granted",
  issued_token_type: "urn:ietf:params:oauth:token-type:access_token",
  token_type: "Bearer",
  expires_in: 3600,
});

describe("who asks Google", () => {
  it("is whom the source says, and no default credentials are looked for", async () => {
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", join(folder, "none"));
    const source = async () => ({ token: "ya29.mine", expiresAt: 0 });
    expect(await authorizationOf(source, false)(signal)).toStrictEqual({ authorization: "Bearer ya29.mine" });
    expect(await authorizationOf(source, true)(signal)).toStrictEqual({ authorization: "Bearer ya29.mine" });
  });

  it("is nobody to an emulator, and no default credentials are looked for", async () => {
    vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", join(folder, "none"));
    expect(await authorizationOf(undefined, true)(signal)).toStrictEqual({});
  });
});

describe("Application Default Credentials", () => {
  it("sign for themselves with a service account's key, for Cloud KMS alone", async () => {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    givenCredentials({
      type: "service_account",
      client_email: "broker@kek-broker-test.iam.gserviceaccount.com",
      private_key: privateKey.export({ type: "pkcs8", format: "pem" }),
      private_key_id: "key-1",
    });
    const headers = await authorizationOf(undefined, false)(signal);
    const token = headers["authorization"]?.replace(/^Bearer /, "") ?? "";
    const { payload } = await jwtVerify(token, publicKey);
    expect(payload).toMatchObject({
      iss: "broker@kek-broker-test.iam.gserviceaccount.com",
      sub: "broker@kek-broker-test.iam.gserviceaccount.com",
      scope: "https://www.googleapis.com/auth/cloudkms",
    });
  });

  it("are exchanged for a token once, and tell who pays", async () => {
    givenFederation(granted);
    const authorization = authorizationOf(undefined, false);
    const headers = await authorization(signal);
    expect(headers).toMatchObject({ authorization: "Bearer ya29.granted" });
    expect(await authorization(signal)).toStrictEqual(headers);
    expect(exchanged.length).toBe(1);
    expect(new URLSearchParams(exchanged[0]).get("scope")).toBe("https://www.googleapis.com/auth/cloudkms");
  });

  it("are exchanged anew once Google did not take the token, once in ten seconds", async () => {
    givenFederation(granted);
    let now = 0;
    const authorization = authorizationOf(undefined, false, () => now);
    await authorization(signal);
    now = 9_999;
    authorization.forget();
    await authorization(signal);
    expect(exchanged.length).toBe(1);
    now = 10_000;
    authorization.forget();
    await authorization(signal);
    authorization.forget();
    await authorization(signal);
    expect(exchanged.length).toBe(2);
  });

  it.each([
    { what: "refuses", answer: json(400, { error: "invalid_grant" }), code: "AccessDenied" },
    { what: "is busy", answer: json(429, {}), code: "Throttled" },
    { what: "is broken", answer: json(500, {}), code: "Unavailable" },
    { what: "cuts the connection", answer: "reset" as const, code: "Unavailable" },
  ])("are $code when who exchanges them $what, and are found again later", async ({ answer, code }) => {
    givenFederation(answer);
    const authorization = authorizationOf(undefined, false);
    const error = await authorization(signal).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toMatchObject({ name: "ProviderError", code });
    expect(`${JSON.stringify(error)} ${String(error)}`).not.toMatch(
      /the-subject-token|127\.0\.0\.1|projects/,
    );
    reply = granted;
    expect(await authorization(signal)).toMatchObject({ authorization: "Bearer ya29.granted" });
  });

  it.each([
    { what: "not there", content: undefined },
    { what: "not JSON", content: "private" },
    { what: "of an unknown type", content: { type: "tomorrow" } },
  ])("are AccessDenied when the file is $what, and are looked for again later", async ({ content }) => {
    if (content === undefined) vi.stubEnv("GOOGLE_APPLICATION_CREDENTIALS", join(folder, "none"));
    else givenCredentials(content);
    const authorization = authorizationOf(undefined, false);
    await expect(authorization(signal)).rejects.toMatchObject({ code: "AccessDenied" });
    givenFederation(granted);
    expect(await authorization(signal)).toMatchObject({ authorization: "Bearer ya29.granted" });
  });
});
