import { KMSClient } from "@aws-sdk/client-kms";
import { CryptographyClient } from "@azure/keyvault-keys";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { afterEach, beforeEach, expect, it, vi } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { createAzureProvider } from "../../src/kms/azure.ts";
import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import type { KeyProvider } from "../../src/kms/key-provider.ts";
import { CREDENTIALS, KEY_ARN } from "./fake-aws.ts";

/** What an SDK answers with although its call was ended, and when. */
let plaintext: Uint8Array;
let arrive: () => void;
let arrived: Promise<void>;
let asked: () => void;
let isAsked: Promise<void>;

beforeEach(() => {
  plaintext = new Uint8Array(32).fill(7);
  arrived = new Promise((resolve) => void (arrive = resolve));
  isAsked = new Promise((resolve) => void (asked = resolve));
});
afterEach(() => void vi.restoreAllMocks());

const late = async <Answer>(answer: Answer): Promise<Answer> => {
  asked();
  await arrived;
  return answer;
};

function aws(): KeyProvider {
  const sdk: { send: () => Promise<unknown> } = Object(KMSClient.prototype);
  vi.spyOn(sdk, "send").mockImplementation(() => late({ Plaintext: plaintext }));
  return createAwsProvider({ keyArn: KEY_ARN, credentials: CREDENTIALS });
}

function google(): KeyProvider {
  vi.spyOn(KeyManagementServiceClient.prototype, "initialize").mockImplementation(async function (
    this: KeyManagementServiceClient,
  ) {
    const decrypt = () => Object.assign(late([{ plaintext }]), { cancel: () => {} });
    Object.assign(this, { innerApiCalls: { decrypt } });
    return Object(this) as never;
  });
  const transport = createGoogleSdk({
    endpoint: "http://127.0.0.1:9",
    transport: "rest",
    accessToken: async () => ({ token: "a-token", expiresAt: 0 }),
  });
  return createGcpProvider({ cryptoKey: "projects/p-12345/locations/l/keyRings/r/cryptoKeys/k", transport });
}

function azure(): KeyProvider {
  vi.spyOn(CryptographyClient.prototype, "unwrapKey").mockImplementation(() =>
    late({ result: plaintext, algorithm: "RSA-OAEP-256" }),
  );
  return createAzureProvider({
    keyUrl: "https://a-vault.vault.azure.net/keys/a-key",
    algorithm: "RSA-OAEP-256",
    bits: 2048,
    anyHost: false,
    now: () => 0,
    credential: { getToken: async () => ({ token: "a-token", expiresOnTimestamp: 0 }) },
  });
}

it.each([
  ["AWS", aws, 100, undefined],
  ["Google", google, 100, undefined],
  ["Azure", azure, 256, new Uint8Array(16).fill(0xab)],
])("a plaintext that %s's SDK hands out too late is overwritten", async (_, make, length, version) => {
  const provider = make();
  const caller = new AbortController();
  const call = { signal: caller.signal, requestId: "request-1" };
  const wrap = new Uint8Array(length).fill(1);
  const unwrapped = provider.unwrap(wrap, { kek: "k", cluster: "c" }, call, version);
  unwrapped.catch(() => {});
  await Promise.race([isAsked, unwrapped]);
  caller.abort();
  await expect(unwrapped).rejects.toMatchObject({ code: "Timeout" });
  expect(plaintext[0]).toBe(7);
  arrive();
  await vi.waitFor(() => expect(plaintext).toEqual(new Uint8Array(32)));
});
