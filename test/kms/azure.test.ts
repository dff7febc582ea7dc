import { createHash, randomBytes } from "node:crypto";

import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import type { ProviderErrorCode } from "../../src/kms/key-provider.ts";
import {
  call,
  changed,
  CONTEXT,
  error,
  failure,
  SECRET,
  startTwistedVault,
  type TwistedVault,
} from "./azure-kit.ts";

let azure: TwistedVault;
let keyUrl: string;

// Making an RSA key takes long on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

beforeAll(async () => {
  azure = await startTwistedVault();
});
afterAll(() => azure?.close());
beforeEach(() => {
  keyUrl = azure.vault.createKey();
  azure.asked();
});

const pathOf = (url: string) => new URL(url).pathname;
const hsm = { algorithm: "A256KW" } as const;
const bytesOf = (hex: string) => new Uint8Array(Buffer.from(hex, "hex"));

describe("what the vault is asked", () => {
  it("wraps by the latest version with one request, after one challenge and no look at the key", async () => {
    const provider = azure.provider(keyUrl);
    await provider.wrap(SECRET, CONTEXT, call());
    await provider.wrap(SECRET, CONTEXT, call());
    const wrapkey = `POST ${pathOf(keyUrl)}//wrapkey`;
    expect(azure.asked()).toStrictEqual([`${wrapkey} without a token`, wrapkey, wrapkey]);
  });

  it("unwraps by the version that wrapped with one request, and no look at the key", async () => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion, keyVersion } = await provider.wrap(SECRET, CONTEXT, call());
    azure.vault.rotate(keyUrl);
    azure.asked();
    await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    const unwrapkey = `POST ${pathOf(keyUrl)}/${keyVersion}/unwrapkey`;
    expect(azure.asked()).toStrictEqual([`${unwrapkey} without a token`, unwrapkey, unwrapkey]);
  });

  it("names the version that wrapped after a rotation, although the client is older than that", async () => {
    const provider = azure.provider(keyUrl);
    await provider.wrap(SECRET, CONTEXT, call());
    const version = azure.vault.rotate(keyUrl);
    const { keyVersion, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    expect(keyVersion).toBe(version);
    expect(openVersion).toStrictEqual(bytesOf(version));
  });

  it("sends the request's id, and hands on the vault's", async () => {
    const provider = azure.provider(keyUrl);
    const { cloudRequestId, wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    const unwrapped = await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    expect(cloudRequestId).toMatch(/^[0-9a-f-]{36}$/);
    expect(unwrapped.cloudRequestId).toMatch(/^[0-9a-f-]{36}$/);
    for (const { headers } of azure.vault.requests) {
      expect(headers.get("x-ms-client-request-id")).toBe("request-1");
    }
  });

  it.each([
    { what: "RSA", kty: "RSA", options: {}, padding: "" },
    { what: "A256KW", kty: "oct-HSM", options: hsm, padding: "00".repeat(7) },
  ] as const)(
    "wraps the context's digest, the length and the plaintext: $what",
    async ({ kty, options, padding }) => {
      const url = azure.vault.createKey({ kty });
      await azure.provider(url, options).wrap(SECRET, CONTEXT, call());
      const sent = JSON.parse(azure.vault.requests.at(-1)?.body ?? "") as { value: string; alg: string };
      const bound = "\0\u001dkek-broker/azure-key-vault/v1\0\u000cprod-secrets\0\u0009prod-eu-1";
      const digest = createHash("sha256").update(bound, "latin1").digest("hex");
      expect(Buffer.from(sent.value, "base64url").toString("hex")).toBe(
        `${digest}20${"07".repeat(32)}${padding}`,
      );
      expect(sent.alg).toBe(kty === "RSA" ? "RSA-OAEP-256" : "A256KW");
    },
  );

  it.each([error(429, "Throttled"), error(503, "ServiceUnavailable"), error(500, "InternalServerError")])(
    "asks once: retries are the broker's",
    async (twist) => {
      azure.twist(twist);
      await failure(azure.provider(keyUrl).wrap(SECRET, CONTEXT, call()));
      expect(azure.asked().filter((one) => !one.endsWith("without a token"))).toStrictEqual([]);
    },
  );

  it("keeps the body of a first request that is challenged after a second one was answered", async () => {
    const provider = azure.provider(keyUrl);
    let answered = () => {};
    azure.holdChallenge(new Promise<void>((resolve) => (answered = resolve)));
    const first = provider.wrap(SECRET, CONTEXT, call());
    await vi.waitUntil(() => azure.isHolding, { interval: 5, timeout: 30_000 });
    await provider.wrap(SECRET, CONTEXT, call());
    answered();
    await expect(first).resolves.toBeDefined();
  });
});

describe("sizes", () => {
  it.each([
    { bits: 2048, bytes: 256 },
    { bits: 3072, bytes: 384 },
    { bits: 4096, bytes: 512 },
  ] as const)(
    "an RSA wrap is as long as its modulus: $bits bits",
    async ({ bits, bytes }) => {
      const url = azure.vault.createKey({ bits });
      const provider = azure.provider(url, { bits });
      const { wrap, openVersion } = await provider.wrap(new Uint8Array(64), CONTEXT, call());
      expect(wrap).toHaveLength(bytes);
      expect(provider.maxWrapBytes).toBe(bytes);
      expect((await provider.unwrap(wrap, CONTEXT, call(), openVersion)).plaintext).toStrictEqual(
        new Uint8Array(64),
      );
      await expect(provider.currentVersion(call())).resolves.toMatch(/^[0-9a-f]{32}$/);
    },
    60_000,
  );

  it("a symmetric wrap is exactly as long as announced", async () => {
    const provider = azure.provider(azure.vault.createKey({ kty: "oct-HSM" }), hsm);
    const { wrap } = await provider.wrap(SECRET, CONTEXT, call());
    expect([wrap.length, provider.maxWrapBytes]).toStrictEqual([80, 80]);
  });

  it("opens what a version of another size had wrapped", async () => {
    const old = await azure.provider(keyUrl).wrap(SECRET, CONTEXT, call());
    azure.vault.rotate(keyUrl, 3072);
    const provider = azure.provider(keyUrl, { bits: 3072 });
    const { plaintext } = await provider.unwrap(old.wrap, CONTEXT, call(), old.openVersion);
    expect(plaintext).toStrictEqual(SECRET);
  });

  it("wraps by no version of another size than the configured one", async () => {
    azure.vault.rotate(keyUrl, 3072);
    const { code, message } = await failure(azure.provider(keyUrl).wrap(SECRET, CONTEXT, call()));
    expect(code).toBe("KeyUnavailable");
    expect(message).toBe("Azure Key Vault wrapKey: not the configured size (bits)");
  });
});

describe("a version that an envelope names", () => {
  const forged = () => new Uint8Array(randomBytes(16));

  it("leads nowhere but to a version of this key, whatever its bytes", async () => {
    const provider = azure.provider(keyUrl);
    const tricks = ["../../other/keys", "/wrapkey?a=b#%2f", "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"];
    const versions = tricks.map((trick) => new Uint8Array(Buffer.from(trick.padEnd(16, "x"))));
    for (const version of [...versions, forged()]) {
      await failure(provider.unwrap(new Uint8Array(256), CONTEXT, call(), version));
    }
    const asked = azure.asked();
    expect(asked.length).toBeGreaterThanOrEqual(4);
    for (const one of asked) {
      expect(one.replace(" without a token", "")).toMatch(
        new RegExp(`^POST ${pathOf(keyUrl)}/[0-9a-f]{32}/unwrapkey$`),
      );
    }
  });

  it.each([undefined, new Uint8Array(0), new Uint8Array(15), new Uint8Array(17)])(
    "is refused for good, without a request, if it has not 16 bytes",
    async (version) => {
      const act = azure.provider(keyUrl).unwrap(new Uint8Array(256), CONTEXT, call(), version);
      expect((await failure(act)).code).toBe("InvalidCiphertext");
      expect(azure.asked()).toStrictEqual([]);
    },
  );

  it("is KeyUnavailable when an RSA key does not have it: anyone can make its wraps anyway", async () => {
    const act = azure.provider(keyUrl).unwrap(new Uint8Array(256), CONTEXT, call(), forged());
    expect((await failure(act)).code).toBe("KeyUnavailable");
  });

  describe("and a symmetric key does not have", () => {
    const wrap = new Uint8Array(80);
    let url: string;
    beforeEach(() => {
      url = azure.vault.createKey({ kty: "oct-HSM" });
    });
    const unwrap = () => azure.provider(url, hsm).unwrap(wrap, CONTEXT, call(), forged());

    it("is Refused, which leads to no member whose wraps anyone can make", async () => {
      expect(await failure(unwrap())).toMatchObject({
        code: "Refused",
        message: "Azure Key Vault unwrapKey: the key has no such version",
      });
    });

    it("is Refused even while the latest version is disabled", async () => {
      azure.vault.disable(url);
      expect((await failure(unwrap())).code).toBe("Refused");
    });

    it("is KeyUnavailable when the key is not there either", async () => {
      azure.vault.deleteKey(url);
      expect((await failure(unwrap())).code).toBe("KeyUnavailable");
    });

    it.each([
      { what: "throttled", twist: error(429, "Throttled") },
      { what: "broken", twist: error(500, "InternalServerError") },
      { what: "forbidden", twist: error(403, "Forbidden", "ForbiddenByRbac") },
    ])("is Refused too when the look whether the key is there is $what", async ({ twist }) => {
      azure.twist((pass) => pass(), twist);
      expect((await failure(unwrap())).code).toBe("Refused");
    });
  });

  it("pushes out no client of a version in use", async () => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    for (let round = 0; round < 20; round++) await failure(provider.unwrap(wrap, CONTEXT, call(), forged()));
    azure.asked();
    await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    expect(azure.asked()).toHaveLength(1);
  });
});

describe("a key's state", () => {
  const latest = { what: "disabled", change: () => azure.vault.disable(keyUrl), why: "is disabled" };
  const seconds = () => Math.floor(Date.now() / 1000);
  it.each([
    latest,
    {
      what: "not valid yet",
      change: () => azure.vault.setValidity(keyUrl, { nbf: seconds() + 3600 }),
      why: "is not valid yet",
    },
    {
      what: "expired",
      change: () => azure.vault.setValidity(keyUrl, { exp: seconds() - 1 }),
      why: "has expired",
    },
    {
      what: "without wrapKey",
      change: () => azure.vault.setKeyOps(keyUrl, ["unwrapKey", "sign"]),
      why: "without wrapKey or unwrapKey",
    },
    {
      what: "of another size",
      change: () => azure.vault.rotate(keyUrl, 3072),
      why: "size is not the configured",
    },
  ])("is told where a version is asked for: $what", async ({ change, why }) => {
    change();
    const told = await failure(azure.provider(keyUrl).currentVersion(call()));
    expect(told.code).toBe("KeyUnavailable");
    expect(told.message).toContain(why);
    expect(told.cloudRequestId).toMatch(/^[0-9a-f-]{36}$/);
  });

  it.each([
    { kty: "EC", options: {} },
    { kty: "oct-HSM", options: {} },
    { kty: "RSA", options: hsm },
  ] as const)("is told of a key of another type: $kty", async ({ kty, options }) => {
    const provider = azure.provider(azure.vault.createKey({ kty }), options);
    const told = await failure(provider.currentVersion(call()));
    expect(told).toMatchObject({
      code: "KeyUnavailable",
      message: expect.stringContaining("the key's type"),
    });
  });

  it("takes an HSM's RSA key, and a modulus with a leading zero", async () => {
    const url = azure.vault.createKey({ kty: "RSA-HSM" });
    azure.twist(
      changed(({ key, ...more }) => {
        const { n, ...rest } = key as { n: string };
        const padded = Buffer.concat([Buffer.from([0]), Buffer.from(n, "base64url")]).toString("base64url");
        return { key: { ...rest, n: padded }, ...more };
      }),
    );
    await expect(azure.provider(url).currentVersion(call())).resolves.toBe(azure.vault.versions(url)[0]);
  });

  it("lets an expired version open what it wrapped, but wrap no more", async () => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    azure.vault.setValidity(keyUrl, { exp: seconds() - 1 });
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("AccessDenied");
    expect((await provider.unwrap(wrap, CONTEXT, call(), openVersion)).plaintext).toStrictEqual(SECRET);
  });

  it("is found out by the unwrap that follows each wrap, where a vault wraps with a disabled key", async () => {
    const lenient = await startTwistedVault({ wrapsWhenDisabled: true });
    const url = lenient.vault.createKey();
    lenient.vault.disable(url);
    const provider = lenient.provider(url);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    expect((await failure(provider.unwrap(wrap, CONTEXT, call(), openVersion))).code).toBe("KeyUnavailable");
    await lenient.close();
  });

  it("is forgotten when a deleted key is recovered", async () => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    azure.vault.deleteKey(keyUrl);
    expect((await failure(provider.unwrap(wrap, CONTEXT, call(), openVersion))).code).toBe("KeyUnavailable");
    azure.vault.recoverKey(keyUrl);
    expect((await provider.unwrap(wrap, CONTEXT, call(), openVersion)).plaintext).toStrictEqual(SECRET);
  });
});

describe("an answer that cannot be right", () => {
  const otherKid = (change: (kid: string) => string) =>
    changed((body) => ({ ...body, kid: change(String(body["kid"])) }));
  const answers: [what: string, twist: ReturnType<typeof changed>, code: ProviderErrorCode][] = [
    ["another key", otherKid((kid) => kid.replace(/key-\d+/, "key-x")), "Unavailable"],
    ["no version", otherKid((kid) => kid.replace(/\/[0-9a-f]{32}$/, "")), "Unavailable"],
    ["a version that is none", otherKid((kid) => kid.replace(/[0-9a-f]{32}$/, "latest")), "Unavailable"],
    ["more behind the version", otherKid((kid) => `${kid}/more`), "Unavailable"],
    ["no URL", otherKid(() => "none"), "Unavailable"],
    ["no kid", changed(({ value }) => ({ value })), "Unavailable"],
    ["no value", changed(({ kid }) => ({ kid })), "Unavailable"],
    ["an empty object", changed(() => ({})), "Unavailable"],
    ["null", changed(() => null), "Unavailable"],
    ["no body", () => new Response(null, { status: 200 }), "Unavailable"],
    ["no JSON", () => new Response("{", { headers: { "content-type": "application/json" } }), "Unavailable"],
    ["a page", () => new Response("<html>", { headers: { "content-type": "text/html" } }), "Unavailable"],
    ["accepted, not done", () => Response.json({}, { status: 202 }), "Unavailable"],
    ["far too much", () => Response.json({ kid: "x".repeat(5_000_000) }), "Unavailable"],
  ];

  it.each(answers)("is $2 at the wrap: %s", async (_what, twist, code) => {
    azure.twist(twist);
    expect((await failure(azure.provider(keyUrl).wrap(SECRET, CONTEXT, call()))).code).toBe(code);
  });

  it.each(answers)("is $2 at the unwrap: %s", async (_what, twist, code) => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    azure.twist(twist);
    expect((await failure(provider.unwrap(wrap, CONTEXT, call(), openVersion))).code).toBe(code);
  });

  it("is Unavailable where a version is asked for: another key's", async () => {
    azure.twist(
      changed(({ key, ...more }) => {
        const { kid, ...rest } = key as { kid: string };
        return { key: { ...rest, kid: kid.replace(/key-\d+/, "key-x") }, ...more };
      }),
    );
    expect((await failure(azure.provider(keyUrl).currentVersion(call()))).code).toBe("Unavailable");
  });

  it("is KeyUnavailable at the wrap: of another length than the modulus", async () => {
    azure.twist(changed((body) => ({ ...body, value: "AAAA" })));
    expect((await failure(azure.provider(keyUrl).wrap(SECRET, CONTEXT, call()))).code).toBe("KeyUnavailable");
  });

  it("is Unavailable at the unwrap: another version's", async () => {
    const provider = azure.provider(keyUrl);
    const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
    const other = azure.vault.rotate(keyUrl);
    azure.twist(otherKid((kid) => kid.replace(/[0-9a-f]{32}$/, other)));
    expect((await failure(provider.unwrap(wrap, CONTEXT, call(), openVersion))).code).toBe("Unavailable");
  });

  it.each(["", "AA", "_".repeat(87), "A".repeat(90)])(
    "is InvalidCiphertext at the unwrap: nothing of ours (%s)",
    async (value) => {
      const provider = azure.provider(keyUrl);
      const { wrap, openVersion } = await provider.wrap(SECRET, CONTEXT, call());
      azure.twist(changed((body) => ({ ...body, value })));
      const { code } = await failure(provider.unwrap(wrap, CONTEXT, call(), openVersion));
      expect(code).toBe(value === "" ? "Unavailable" : "InvalidCiphertext");
    },
  );

  it.each([301, 302, 303, 307, 308])("is not followed: a redirect with %i", async (status) => {
    const provider = azure.provider(keyUrl);
    azure.twist(
      (_pass, request) => new Response(null, { status, headers: { location: `${request.url}&again` } }),
    );
    expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
    expect(azure.asked().filter((one) => !one.endsWith("without a token"))).toStrictEqual([]);
  });
});
