import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { createAzureProvider } from "../../src/kms/azure.ts";
import { createGcpProvider } from "../../src/kms/gcp.ts";
import { createGoogleRest } from "../../src/kms/gcp-rest.ts";
import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import { exchangeAtGoogle } from "../../src/kms/identity/google.ts";
import { createSelfSigned } from "../../src/kms/identity/self-signed.ts";
import type { KeyProvider, ProviderCall } from "../../src/kms/key-provider.ts";
import { FakeAwsKms } from "../emulators/aws-kms-fake.ts";
import {
  credentialOf,
  type HttpsVault,
  startFakeKeyVault,
  trustInThisProcess,
} from "../emulators/azure-key-vault-server.ts";
import { serve } from "../emulators/clouds/emulated-clouds.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../emulators/google-kms-fake.ts";
import type { LoopbackServer } from "../emulators/loopback-server.ts";
import { EXCHANGES, FAKES, PROVIDER, SERVICE_ACCOUNT } from "../kms/identity/clouds.ts";
import { ISSUER, published, publishedIssuer, signingKey, SUBJECT } from "../kms/identity/issuer.ts";
import { tableUnder, textOf } from "./pages.ts";

const page = textOf("docs/cloud-permissions.md");
const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const call = (): ProviderCall => ({ signal: AbortSignal.timeout(30_000), requestId: "request-1" });

/** Everything that a provider can do, on a key that works and on one that does not. */
async function useAllOf(provider: KeyProvider): Promise<void> {
  await provider.currentVersion(call());
  const { wrap, openVersion } = await provider.wrap(new Uint8Array(32), CONTEXT, call());
  await provider.unwrap(wrap, CONTEXT, call(), openVersion);
  await provider.unwrap(wrap, { ...CONTEXT, kek: "another" }, call(), openVersion).catch(() => {});
}

function callsInTable(cloud: string, heading: string): string[] {
  const rows = tableUnder(page, heading).filter(([of]) => of === cloud);
  return rows.map((cells) => cells.at(-2) ?? "").toSorted();
}

describe("docs/cloud-permissions.md has each call of a provider at", () => {
  const aws = new FakeAwsKms();
  let awsServer: LoopbackServer;
  let google: GoogleKmsFake;
  let azure: HttpsVault;
  let distrust: () => void;

  beforeAll(async () => {
    awsServer = await serve((request) => aws.handle(request));
    google = await startGoogleKmsFake();
    azure = await startFakeKeyVault();
    distrust = trustInThisProcess(azure.ca);
  });
  afterAll(async () => {
    distrust?.();
    await Promise.all([awsServer?.close(), google?.close(), azure?.close()]);
  });

  it("AWS, and no more", async () => {
    const keyArn = aws.createKey();
    const credentials = { accessKeyId: "a-test", secretAccessKey: "signs-with-anything" };
    await useAllOf(createAwsProvider({ keyArn, endpoint: awsServer.url, credentials }));
    expect([...new Set(aws.operations)].toSorted()).toEqual(callsInTable("AWS", "Keys"));
  });

  it("Google, and no more, by either way", async () => {
    const accessToken = async () => ({ token: "a-token", expiresAt: Number.MAX_SAFE_INTEGER });
    for (const transport of [
      createGoogleSdk({ endpoint: google.grpcUrl, transport: "grpc" }),
      createGoogleRest({ endpoint: google.restUrl, accessToken }),
    ]) {
      const before = google.calls.length;
      await useAllOf(createGcpProvider({ cryptoKey: google.admin.createKey(), transport }));
      const operations = google.calls.slice(before).map(({ operation }) => operation);
      expect([...new Set(operations)].toSorted()).toEqual(callsInTable("Google", "Keys"));
    }
  });

  it.each(["RSA-OAEP-256", "A256KW"] as const)("Azure, and no more, with %s", async (algorithm) => {
    const keyUrl = azure.vault.createKey({ kty: algorithm === "A256KW" ? "oct-HSM" : "RSA" });
    const credential = credentialOf(azure.vault.issueToken());
    const before = azure.vault.requests.length;
    await useAllOf(createAzureProvider({ keyUrl, algorithm, bits: 2048, credential, anyHost: true }));
    const names = { get: "getKey", wrapkey: "wrapKey", unwrapkey: "unwrapKey" };
    const seen = azure.vault.requests.slice(before).map(({ method, path }) => {
      const [, operation = "get"] = /\/(wrapkey|unwrapkey)\?/.exec(path) ?? [];
      return method === "GET" || operation !== "get" ? names[operation as keyof typeof names] : path;
    });
    expect([...new Set(seen)].toSorted()).toEqual(callsInTable("Azure", "Keys"));
  });

  it("the clouds' token services, where one needs a permission or trust", async () => {
    const now = Date.now;
    const trust = { trusted: publishedIssuer(published()).trusted, now };
    const identity = createSelfSigned({ url: ISSUER, subject: SUBJECT, key: () => signingKey(), now });
    const { signal } = new AbortController();
    const seen: string[] = [];
    const recording = (fake: { handle(request: Request): Promise<Response> }) => async (request: Request) => {
      seen.push(`${new URL(request.url).host} ${await nameOf(request.clone())}`);
      return fake.handle(request);
    };
    await EXCHANGES.AWS({ fetch: recording(FAKES.AWS(trust)), now, identity, signal });
    const federation = { provider: PROVIDER, serviceAccount: SERVICE_ACCOUNT };
    const deps = { fetch: recording(FAKES.Google(trust)), now };
    await exchangeAtGoogle({ federation, identity }, deps, signal);
    await EXCHANGES.Entra({ fetch: recording(FAKES.Entra(trust)), now, identity, signal });
    expect(seen).toEqual([
      "sts.eu-central-1.amazonaws.com AssumeRoleWithWebIdentity",
      // Of these three the second alone needs more than that the cloud trusts the issuer.
      "sts.googleapis.com token",
      "iamcredentials.googleapis.com generateAccessToken",
      "login.microsoftonline.com token",
    ]);
    expect(callsInTable("AWS", "Identity")).toEqual(["AssumeRoleWithWebIdentity", "GetWebIdentityToken"]);
    expect(callsInTable("Google", "Identity")).toEqual(["generateAccessToken"]);
  });
});

async function nameOf(request: Request): Promise<string> {
  const action = new URLSearchParams(await request.text()).get("Action");
  return action ?? /[/:]([A-Za-z]+)$/.exec(new URL(request.url).pathname)?.[1] ?? "";
}
