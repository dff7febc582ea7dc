import type { AccessToken, GetTokenOptions } from "@azure/core-auth";
import { afterAll, beforeAll, beforeEach, describe, expect, it, type Mock, vi } from "vitest";

import { type KeyProvider, ProviderError, type ProviderErrorCode } from "../../src/kms/key-provider.ts";
import {
  call,
  CONTEXT,
  error,
  failure,
  SECRET,
  startTwistedVault,
  type Twist,
  type TwistedVault,
} from "./azure-kit.ts";

type GetToken = (scopes: string | string[], options?: GetTokenOptions) => Promise<AccessToken>;

let azure: TwistedVault;
let keyUrl: string;
let provider: KeyProvider;

// Making an RSA key takes long on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

beforeAll(async () => {
  azure = await startTwistedVault();
});
afterAll(() => azure?.close());
beforeEach(() => {
  keyUrl = azure.vault.createKey();
  provider = azure.provider(keyUrl);
  azure.asked();
});

const version = new Uint8Array(16).fill(1);
const unwrap = () => provider.unwrap(new Uint8Array(256), CONTEXT, call(), version);
const wrap = () => provider.wrap(SECRET, CONTEXT, call());

describe("an error of the vault", () => {
  const errors: [status: number, code: string, inner: string | undefined, expected: ProviderErrorCode][] = [
    [403, "Forbidden", "KeyDisabled", "KeyUnavailable"],
    [403, "Forbidden", "KeyOperationForbidden", "KeyUnavailable"],
    [404, "KeyNotFound", undefined, "KeyUnavailable"],
    [409, "Conflict", "ObjectIsDeletedButRecoverable", "KeyUnavailable"],
    [409, "Conflict", "ObjectIsBeingRecovered", "KeyUnavailable"],
    [401, "Unauthorized", undefined, "AccessDenied"],
    [403, "Forbidden", undefined, "AccessDenied"],
    [403, "Forbidden", "AccessDenied", "AccessDenied"],
    [403, "Forbidden", "ForbiddenByRbac", "AccessDenied"],
    [403, "Forbidden", "ForbiddenByPolicy", "AccessDenied"],
    [403, "Forbidden", "ForbiddenByFirewall", "AccessDenied"],
    [403, "Forbidden", "ForbiddenByConnection", "AccessDenied"],
    [403, "Forbidden", "SomethingNew", "AccessDenied"],
    [429, "Throttled", undefined, "Throttled"],
    [429, "Throttled", "VaultRequestTypeLimitReached", "Throttled"],
    [500, "InternalServerError", undefined, "Unavailable"],
    [503, "ServiceUnavailable", undefined, "Unavailable"],
    // Codes of tomorrow go by their status.
    [400, "SomethingNew", undefined, "Refused"],
    [404, "SomethingNew", undefined, "KeyUnavailable"],
    [405, "SomethingNew", undefined, "Refused"],
    [408, "SomethingNew", undefined, "Timeout"],
    [409, "SomethingNew", undefined, "KeyUnavailable"],
    [415, "SomethingNew", undefined, "Refused"],
    [502, "SomethingNew", undefined, "Unavailable"],
    [500, "constructor", "__proto__", "Unavailable"],
  ];

  it.each(errors)("%i %s %s is %s", async (status, code, inner, expected) => {
    azure.twist(error(status, code, inner));
    expect((await failure(unwrap())).code).toBe(expected);
    azure.twist(error(status, code, inner));
    expect((await failure(wrap())).code).toBe(expected);
    azure.twist(error(status, code, inner));
    expect((await failure(provider.currentVersion(call()))).code).toBe(expected);
  });

  it("says of an unwrap that it never opens, where of another request that it was bad", async () => {
    azure.twist(error(400, "BadParameter"));
    expect((await failure(unwrap())).code).toBe("InvalidCiphertext");
    azure.twist(error(400, "BadParameter"));
    expect((await failure(wrap())).code).toBe("Refused");
    azure.twist(error(400, "BadParameter"));
    expect((await failure(provider.currentVersion(call()))).code).toBe("Refused");
    azure.twist(error(500, "BadParameter"));
    expect((await failure(unwrap())).code).toBe("Refused");
  });

  it.each<[what: string, twist: Twist, code: ProviderErrorCode]>([
    ["a page of a proxy", () => new Response("<html>", { status: 502 }), "Unavailable"],
    ["a page that denies", () => new Response("<html>", { status: 403 }), "AccessDenied"],
    ["an empty refusal", () => new Response(null, { status: 400 }), "Refused"],
    [
      "broken JSON",
      () => new Response("{", { status: 403, headers: { "content-type": "application/json" } }),
      "AccessDenied",
    ],
    ["an error that is a text", () => Response.json({ error: "no" }, { status: 403 }), "AccessDenied"],
    ["a code that is none", () => Response.json({ error: { code: 7 } }, { status: 429 }), "Throttled"],
    [
      "inner errors without end",
      () => {
        let level: object = { code: "KeyDisabled" };
        for (let depth = 0; depth < 100; depth++) level = { code: "Forbidden", innererror: level };
        return Response.json({ error: level }, { status: 403 });
      },
      "AccessDenied",
    ],
  ])("%s is %s", async (_what, twist, code) => {
    azure.twist(twist);
    expect((await failure(unwrap())).code).toBe(code);
  });

  it("leaves as a code, its own code and the request id, and nothing else", async () => {
    azure.twist(error(403, "Forbidden", "ForbiddenByRbac"));
    expect(await failure(wrap())).toMatchObject({
      message: "Azure Key Vault wrapKey: ForbiddenByRbac",
      cloudRequestId: "cloud-request-9",
    });
  });

  it("is not told by a code that is not one of ours", async () => {
    azure.twist(error(400, "https://secret-vault-name.vault.azure.net/keys/key-1"));
    expect((await failure(wrap())).message).toBe("Azure Key Vault wrapKey: HTTP 400");
  });
});

describe("a lasting state of the vault", () => {
  it.each([
    { behaviour: "down", code: "Unavailable" },
    { behaviour: "throttled", code: "Throttled" },
  ] as const)(
    "is $code when it is $behaviour, challenges too, and ends with it",
    async ({ behaviour, code }) => {
      azure.vault.behave(behaviour);
      expect((await failure(wrap())).code).toBe(code);
      expect((await failure(wrap())).code).toBe(code);
      azure.vault.behave("well");
      await expect(wrap()).resolves.toBeDefined();
    },
  );

  it("is Timeout when it is slower than the caller has time, and ends with it", async () => {
    azure.vault.behave({ slowMs: 1_500 });
    const short = { signal: AbortSignal.timeout(100), requestId: "request-1" };
    expect((await failure(provider.wrap(SECRET, CONTEXT, short))).code).toBe("Timeout");
    azure.vault.behave("well");
    await expect(wrap()).resolves.toBeDefined();
  });

  it("is Unavailable when nobody listens", async () => {
    const nobody = azure.provider("https://127.0.0.1:1/keys/key-1");
    expect(await failure(nobody.wrap(SECRET, CONTEXT, call()))).toMatchObject({
      code: "Unavailable",
      message: "Azure Key Vault wrapKey: no answer",
    });
  });

  it("is Unavailable when nobody vouches for its certificate", async () => {
    const untrusted = azure.provider(keyUrl.replace("127.0.0.1", "[::ffff:127.0.0.1]"));
    expect((await failure(untrusted.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
  });
});

describe("the vault's challenge", () => {
  it("is not taken if it asks for a token for another vault", async () => {
    const credential = { getToken: vi.fn<() => Promise<null>>(async () => null) };
    const strict = azure.provider(keyUrl, { anyHost: false, credential });
    expect(await failure(strict.wrap(SECRET, CONTEXT, call()))).toMatchObject({
      code: "AccessDenied",
      message: "Azure Key Vault wrapKey: its challenge was not taken",
    });
    expect(credential.getToken).not.toHaveBeenCalled();
  });

  it("gives the credential its scope and tenant", async () => {
    const { getToken } = azure.credential();
    const seen = vi.fn<GetToken>(getToken);
    await azure.provider(keyUrl, { credential: { getToken: seen } }).wrap(SECRET, CONTEXT, call());
    expect(seen).toHaveBeenCalledWith(
      ["https://vault.azure.net/.default"],
      expect.objectContaining({ tenantId: "72f988bf-0000-4000-8000-2d7cd011db47" }),
    );
  });
});

describe("a credential", () => {
  const named = (name: string, statusCode?: number) =>
    Object.assign(new Error("tenant 72f988bf of https://login.microsoftonline.com"), { name, statusCode });

  it.each<[what: string, thrown: unknown, code: ProviderErrorCode]>([
    ["none configured", named("CredentialUnavailableError"), "AccessDenied"],
    ["refused by Entra", named("AuthenticationError", 401), "AccessDenied"],
    ["refused as a bad request", named("AuthenticationError", 400), "AccessDenied"],
    ["throttled by Entra", named("AuthenticationError", 429), "Throttled"],
    ["Entra broken", named("AuthenticationError", 503), "Unavailable"],
    ["Entra out of reach", named("RestError"), "Unavailable"],
    ["ended by another call", named("AbortError"), "Unavailable"],
    ["several that failed", named("AggregateAuthenticationError"), "AccessDenied"],
    ["something that is no error", "https://login.microsoftonline.com", "AccessDenied"],
    ["one of ours: Timeout", new ProviderError("Timeout", "no token in time"), "Timeout"],
  ])("%s is %s", async (_what, thrown, code) => {
    const credential = { getToken: () => Promise.reject(thrown) };
    const poor = azure.provider(keyUrl, { credential });
    expect((await failure(poor.wrap(SECRET, CONTEXT, call()))).code).toBe(code);
    expect((await failure(poor.currentVersion(call()))).code).toBe(code);
  });

  it("that has no token is AccessDenied", async () => {
    const poor = azure.provider(keyUrl, { credential: { getToken: async () => null } });
    expect((await failure(poor.wrap(SECRET, CONTEXT, call()))).code).toBe("AccessDenied");
  });

  it("that never answers is Timeout, and holds up no later call", async () => {
    const good = azure.credential();
    const getToken = vi
      .fn<() => Promise<AccessToken>>(good.getToken)
      .mockImplementationOnce(() => new Promise<AccessToken>(() => {}));
    const provider = azure.provider(keyUrl, { credential: { getToken } });
    const short = { signal: AbortSignal.timeout(100), requestId: "request-1" };
    expect((await failure(provider.wrap(SECRET, CONTEXT, short))).code).toBe("Timeout");
    await expect(provider.wrap(SECRET, CONTEXT, call())).resolves.toBeDefined();
  });

  describe("whose tokens end", () => {
    const MINUTE = 60_000;
    let now: number;
    let tokens: Mock<GetToken>;
    beforeEach(() => {
      now = Date.UTC(2027, 0, 1);
      tokens = vi.fn<GetToken>(async () => ({
        token: azure.vault.issueToken(),
        expiresOnTimestamp: now + 60 * MINUTE,
      }));
      provider = azure.provider(keyUrl, { credential: { getToken: tokens }, now: () => now });
    });

    it("is asked once for all that a token can do, and again shortly before its end", async () => {
      await wrap();
      await wrap();
      await failure(unwrap());
      await provider.currentVersion(call());
      now += 54 * MINUTE;
      await wrap();
      expect(tokens).toHaveBeenCalledTimes(1);
      now += 2 * MINUTE;
      await wrap();
      expect(tokens).toHaveBeenCalledTimes(2);
    });

    it("is done without while the last one lives", async () => {
      await wrap();
      tokens.mockRejectedValue(new Error("Entra is away"));
      now += 59 * MINUTE;
      await expect(wrap()).resolves.toBeDefined();
      now += MINUTE;
      expect((await failure(wrap())).code).toBe("AccessDenied");
    });

    it("is asked anew when the vault takes the last one no more", async () => {
      await wrap();
      azure.vault.revokeTokens();
      expect((await failure(wrap())).code).toBe("AccessDenied");
      await expect(wrap()).resolves.toBeDefined();
    });

    it("is asked with the claims that the vault wants", async () => {
      await wrap();
      const claims = Buffer.from('{"access_token":{"nbf":{"essential":true}}}').toString("base64");
      const wants = `Bearer authorization="https://login.microsoftonline.com/t", error="insufficient_claims", claims="${claims}"`;
      azure.twist(() => new Response(null, { status: 401, headers: { "www-authenticate": wants } }));
      await expect(wrap()).resolves.toBeDefined();
      expect(tokens.mock.lastCall?.[1]?.claims).toBe('{"access_token":{"nbf":{"essential":true}}}');
    });
  });
});

describe("without time", () => {
  it("ends at the call's signal with Timeout, and the next call works", async () => {
    const controller = new AbortController();
    azure.vault.inject("silent");
    const act = failure(
      provider.wrap(SECRET, CONTEXT, { signal: controller.signal, requestId: "request-1" }),
    );
    await vi.waitUntil(() => azure.vault.requests.length === 2, { interval: 5, timeout: 30_000 });
    controller.abort();
    expect((await act).code).toBe("Timeout");
    await expect(wrap()).resolves.toBeDefined();
  });
});
