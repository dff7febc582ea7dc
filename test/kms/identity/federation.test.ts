import { afterAll, beforeAll, describe, expect, it } from "vitest";

import type { Fetch } from "../../../src/kms/identity/exchange.ts";
import { createSelfSigned } from "../../../src/kms/identity/self-signed.ts";
import type { KeyProvider } from "../../../src/kms/key-provider.ts";
import { type MemberKey, providerFor } from "../../../src/kms/provider-for.ts";
import {
  type HttpsVault,
  startFakeKeyVault,
  trustInThisProcess,
} from "../../emulators/azure-key-vault-server.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../../emulators/google-kms-fake.ts";
import { type LoopbackServer, startLoopbackServer } from "../../emulators/loopback-server.ts";
import { answer, KEY_ARN } from "../fake-aws.ts";
import { testPlatform } from "../test-platform.ts";
import { awsFake, CLIENT, entraFake, googleFake, PROVIDER, ROLE, SERVICE_ACCOUNT, TENANT } from "./clouds.ts";
import { clock, ISSUER, published, publishedIssuer, signingKey, SUBJECT } from "./issuer.ts";

type Fakes = ReturnType<typeof fakesOf>;

/** The three clouds' token services, one issuer that they trust, and how a broker of this moment reaches them. */
function fakesOf() {
  const { now, pass } = clock();
  const issuer = publishedIssuer(published());
  const trust = { trusted: issuer.trusted, now };
  const [aws, google, entra] = [awsFake(trust), googleFake(trust), entraFake(trust)];
  let exchanges = 0;
  let down = false;
  const fetch: Fetch = (request) => {
    exchanges += 1;
    const { hostname } = new URL(request.url);
    if (down) return Promise.resolve(new Response(null, { status: 503 }));
    if (hostname.startsWith("sts.eu-") || hostname.startsWith("sts.us-")) return aws.handle(request);
    return hostname === "login.microsoftonline.com" ? entra.handle(request) : google.handle(request);
  };
  const identity = createSelfSigned({ url: ISSUER, subject: SUBJECT, key: () => signingKey(), now });
  return {
    now,
    pass,
    aws,
    google,
    entra,
    exchanges: () => exchanges,
    goDown: () => void (down = true),
    place: { platform: testPlatform({ fetch, now }), kek: "prod-secrets", identity, anyHost: true },
  };
}

const call = () => ({ signal: AbortSignal.timeout(30_000), requestId: "request-1" });

/** Each server takes what the token services of the test that runs have given, and nothing else. */
let fakes: Fakes;
let kmsOfAws: LoopbackServer;
let kmsOfGoogle: GoogleKmsFake;
let vault: HttpsVault;
let distrust: () => void;
let cryptoKey: string;
let keyUrl: string;

beforeAll(async () => {
  kmsOfAws = await startLoopbackServer(({ headers }) => {
    const id = /Credential=([^/]+)\//.exec(String(headers.authorization))?.[1] ?? "";
    const session = fakes.aws.sessionOf(id, String(headers["x-amz-security-token"]));
    if (session === undefined) {
      return { status: 400, body: JSON.stringify({ __type: "UnrecognizedClientException", message: id }) };
    }
    return answer({
      KeyMetadata: { Arn: KEY_ARN, KeyState: "Enabled", CurrentKeyMaterialId: session.sessionName },
    });
  });
  kmsOfGoogle = await startGoogleKmsFake({
    accepts: (token) =>
      fakes.google
        .tokenOf(token ?? "")
        ?.scopes.join(" ")
        .endsWith("cloudkms") === true,
  });
  vault = await startFakeKeyVault({ acceptToken: (token) => fakes.entra.tokenOf(token) !== undefined });
  distrust = trustInThisProcess(vault.ca);
  cryptoKey = kmsOfGoogle.admin.createKey();
  keyUrl = vault.vault.createKey({ kty: "RSA", bits: 2048 });
}, 60_000);

afterAll(async () => {
  distrust?.();
  await Promise.all([kmsOfAws?.close(), kmsOfGoogle?.close(), vault?.close()]);
});

const MEMBERS: [cloud: string, exchangesEach: number, member: () => MemberKey][] = [
  ["AWS", 1, () => ({ awsKms: { keyArn: KEY_ARN, endpoint: kmsOfAws.url, federation: { roleArn: ROLE } } })],
  [
    "Google",
    1,
    () => ({ gcpKms: { cryptoKey, endpoint: kmsOfGoogle.restUrl, federation: { provider: PROVIDER } } }),
  ],
  [
    "Google, a service account",
    2,
    () => ({
      gcpKms: {
        cryptoKey,
        endpoint: kmsOfGoogle.restUrl,
        federation: { provider: PROVIDER, serviceAccount: SERVICE_ACCOUNT },
      },
    }),
  ],
  [
    "Azure",
    1,
    () => ({
      azureKeyVault: {
        keyUrl,
        algorithm: "RSA-OAEP-256",
        bits: 2048,
        federation: { tenantId: TENANT, clientId: CLIENT },
      },
    }),
  ],
];

describe.each(MEMBERS)("a federated member: %s", (_cloud, each, member) => {
  function start(): KeyProvider {
    fakes = fakesOf();
    return providerFor(member(), fakes.place);
  }

  it("uses its key as who the exchange made it, and asks nobody before its first call", async () => {
    const provider = start();
    expect(fakes.exchanges()).toBe(0);
    await expect(provider.currentVersion(call())).resolves.not.toBe("");
    expect(fakes.exchanges()).toBe(each);
  });

  it("makes one exchange for a storm of calls, and none for the next", async () => {
    const provider = start();
    await Promise.all(Array.from({ length: 30 }, () => provider.currentVersion(call())));
    await provider.currentVersion(call());
    expect(fakes.exchanges()).toBe(each);
  });

  it("takes new credentials before the old ones end", async () => {
    const provider = start();
    await provider.currentVersion(call());
    for (let quarter = 0; quarter < 12; quarter += 1) {
      fakes.pass(900);
      await provider.currentVersion(call());
    }
    // Three hours of credentials that last one. A clock that jumps while a refresh is under way begins another.
    expect(fakes.exchanges() / each).toBeGreaterThanOrEqual(4);
    expect(fakes.exchanges() / each).toBeLessThan(12);
  });

  it("works on through an outage of the token service for as long as its credentials last", async () => {
    const provider = start();
    await provider.currentVersion(call());
    fakes.goDown();
    fakes.pass(3500);
    await expect(provider.currentVersion(call())).resolves.not.toBe("");
    fakes.pass(101);
    await expect(provider.currentVersion(call())).rejects.toMatchObject({ code: "Unavailable" });
  });

  it("is denied what its token service denies, by a code and without the token", async () => {
    fakes = fakesOf();
    const identity = createSelfSigned({
      url: ISSUER,
      subject: "somebody-else",
      key: () => signingKey(),
      now: fakes.now,
    });
    const failure: unknown = await providerFor(member(), { ...fakes.place, identity })
      .currentVersion(call())
      .catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "ProviderError", code: "AccessDenied" });
    expect(String(failure)).not.toMatch(/eyJ|111122223333|123456|somebody/);
  });

  it("gives up when its caller does, however slow the token service is", async () => {
    fakes = fakesOf();
    const platform = testPlatform({ now: fakes.now, fetch: () => new Promise(() => {}) });
    const provider = providerFor(member(), { ...fakes.place, platform });
    const late = new AbortController();
    const asked = provider.currentVersion({ signal: late.signal, requestId: "request-1" });
    setTimeout(() => late.abort(), 20);
    await expect(asked).rejects.toMatchObject({ code: "Timeout" });
  });
});

describe("a federated AWS member", () => {
  it("is in CloudTrail by broker and KEK", async () => {
    fakes = fakesOf();
    const [, , member] = MEMBERS[0] ?? [];
    const provider = providerFor(member?.() ?? {}, fakes.place);
    await expect(provider.currentVersion(call())).resolves.toBe("kek-broker-prod-secrets");
  });
});
