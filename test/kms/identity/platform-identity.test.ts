import { afterEach, describe, expect, it, vi } from "vitest";

import { platformIdentity } from "../../../src/runtime/platform-identity.ts";
import { nodePlatform } from "../../../src/runtime/platform-node.ts";
import type { Reply } from "../../emulators/loopback-server.ts";
import { failureOf, startPlatformService } from "./platform-service.ts";

const closing: (() => Promise<void>)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  await Promise.all(closing.splice(0).map((close) => close()));
});

const signal = () => AbortSignal.timeout(30_000);

async function service(...replies: readonly Reply[]) {
  const started = await startPlatformService(...replies);
  closing.push(() => started.close());
  return started;
}

function stub(env: Readonly<Record<string, string>>): void {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
}

describe("the token of the platform", () => {
  describe("AWS", () => {
    const env = {
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "AKIATEST",
      AWS_SECRET_ACCESS_KEY: "signs-with-anything",
    };
    const xml = (result: string): Reply => ({
      status: 200,
      headers: { "content-type": "text/xml" },
      body: `<GetWebIdentityTokenResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><GetWebIdentityTokenResult>${result}</GetWebIdentityTokenResult></GetWebIdentityTokenResponse>`,
    });
    const refusal = (code: string, status: number): Reply => ({
      status,
      headers: { "content-type": "text/xml" },
      body: `<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type><Code>${code}</Code><Message>account 111122223333</Message></Error></ErrorResponse>`,
    });

    it("is asked of STS for the audience, for minutes, and by the algorithm that all clouds take", async () => {
      const sts = await service(
        xml("<WebIdentityToken>a.b.c</WebIdentityToken><Expiration>2026-11-25T00:05:00Z</Expiration>"),
      );
      stub({ ...env, AWS_ENDPOINT_URL_STS: sts.url });
      await expect(platformIdentity("aws", process.env)("their-audience", signal())).resolves.toBe("a.b.c");
      expect(Object.fromEntries(new URLSearchParams(sts.requests[0]?.body.toString()))).toEqual({
        Action: "GetWebIdentityToken",
        Version: "2011-06-15",
        "Audience.member.1": "their-audience",
        DurationSeconds: "300",
        SigningAlgorithm: "RS256",
      });
      expect(sts.requests[0]?.headers["authorization"]).toContain("AKIATEST");
    });

    it.each([
      [
        "OutboundWebIdentityFederationDisabled",
        403,
        "AccessDenied",
        /OutboundWebIdentityFederationDisabledException|HTTP 403/,
      ],
      ["AccessDenied", 403, "AccessDenied", /AccessDenied/],
      ["SomethingNew", 400, "AccessDenied", /HTTP 400/],
    ])("is refused with %s by a code", async (code, status, expected, message) => {
      const sts = await service(refusal(code, status), refusal(code, status));
      stub({ ...env, AWS_ENDPOINT_URL_STS: sts.url });
      const failure = await failureOf(platformIdentity("aws", process.env)("a", signal()));
      expect(failure).toMatchObject({ name: "ProviderError", code: expected });
      expect(String(failure)).toMatch(message);
      expect(String(failure)).not.toContain("111122223333");
    });

    it("says that it needs a region", async () => {
      stub({ ...env, AWS_CONFIG_FILE: "/dev/null", AWS_SHARED_CREDENTIALS_FILE: "/dev/null" });
      vi.stubEnv("AWS_REGION", undefined);
      vi.stubEnv("AWS_DEFAULT_REGION", undefined);
      const failure = await failureOf(platformIdentity("aws", process.env)("a", signal()));
      expect(failure).toMatchObject({
        code: "AccessDenied",
        message: expect.stringContaining("set AWS_REGION"),
      });
    });
  });

  describe("Google", () => {
    const token = (body: string, status = 200): Reply => ({
      status,
      headers: { "metadata-flavor": "Google", "content-type": "application/text" },
      body,
    });

    it("is asked of the metadata server for the audience", async () => {
      const metadata = await service(token("a.b.c"));
      stub({ GCE_METADATA_HOST: new URL(metadata.url).host });
      const audience = "api://AzureADTokenExchange?a=b&format=x";
      await expect(platformIdentity("google", {})(audience, signal())).resolves.toBe("a.b.c");
      const asked = new URL(metadata.requests[0]?.path ?? "", metadata.url);
      expect(asked.pathname).toBe("/computeMetadata/v1/instance/service-accounts/default/identity");
      expect([asked.searchParams.getAll("audience"), asked.searchParams.getAll("format")]).toEqual([
        [audience],
        ["full"],
      ]);
      expect(metadata.requests[0]?.headers["metadata-flavor"]).toBe("Google");
    });

    it("is none where there is no service account, by a code", async () => {
      const metadata = await service(token("not found: secret", 404));
      stub({ GCE_METADATA_HOST: new URL(metadata.url).host });
      const failure = await failureOf(platformIdentity("google", {})("a", signal()));
      expect(failure).toMatchObject({ name: "ProviderError", code: "AccessDenied" });
      expect(String(failure)).not.toContain("secret");
    });
  });

  it.each(["aws", "google"] as const)("of %s is not waited for beyond the deadline", async (platform) => {
    const silent = await service("silence", "silence", "silence");
    stub({
      AWS_REGION: "eu-central-1",
      AWS_ACCESS_KEY_ID: "a",
      AWS_SECRET_ACCESS_KEY: "b",
      AWS_ENDPOINT_URL_STS: silent.url,
      GCE_METADATA_HOST: new URL(silent.url).host,
      IDENTITY_ENDPOINT: `${silent.url}/msi/token`,
      IDENTITY_HEADER: "a-header",
    });
    const failure = await failureOf(platformIdentity(platform, process.env)("a", AbortSignal.timeout(300)));
    expect(failure).toMatchObject({ name: "ProviderError", code: "Timeout" });
  });
});

describe("the signing key on Node", () => {
  const issuer = { url: "https://kek-issuer.example.com", subject: "kek-broker" };

  it.each([
    ["is not set", issuer, {}, "there is no signing key: KEK_BROKER_SIGNING_KEY is not set"],
    ["is none", issuer, { KEK_BROKER_SIGNING_KEY: "{}" }, "the signing key is not a private RSA key"],
    [
      "is a file that is not there",
      { ...issuer, keyFile: "/nowhere/key.json" },
      {},
      "the signing key cannot be read (ENOENT)",
    ],
  ])("is told at start if it %s", async (_name, settings, env, message) => {
    const failure = await failureOf(nodePlatform(env).identity({ issuer: settings }));
    expect(failure).toMatchObject({ name: "DocumentError", issues: [{ path: "identity.issuer" }] });
    expect(String(failure)).toContain(message);
  });
});
