import fc from "fast-check";
import { describe, expect, it } from "vitest";

import { parseKeyUrl, versionBytes, versionOf } from "../../src/kms/azure-key.ts";
import { hex } from "../../src/wire/hex.ts";

const VERSION = "0123456789abcdef0123456789abcdef";

describe("a key's URL", () => {
  it("is a vault and a name", () => {
    expect(parseKeyUrl("https://Vault.vault.azure.net/keys/My-Key")).toStrictEqual({
      vaultUrl: "https://vault.vault.azure.net",
      name: "My-Key",
    });
  });

  it.each([
    "http://v.vault.azure.net/keys/k",
    "https://v.vault.azure.net/secrets/k",
    "https://v.vault.azure.net/keys/",
    "https://v.vault.azure.net/keys/k/",
    `https://v.vault.azure.net/keys/k/${VERSION}`,
    "https://v.vault.azure.net/keys/k?api-version=7.4",
    "https://v.vault.azure.net/keys/k#x",
    "https://user:password@v.vault.azure.net/keys/k",
    "https://v.vault.azure.net/keys/k%2fwrapkey",
    "https://v.vault.azure.net/keys/k_1",
    "https://v.vault.azure.net",
    "none",
  ])("is not %s", (url) => {
    expect(() => parseKeyUrl(url)).toThrow(TypeError);
  });
});

describe("a key id", () => {
  const key = parseKeyUrl("https://v.vault.azure.net/keys/My-Key");
  const kid = (host: string, path: string) => `https://${host}${path}`;

  it.each([
    kid("v.vault.azure.net", `/keys/My-Key/${VERSION}`),
    kid("V.Vault.Azure.NET", `/keys/my-key/${VERSION.toUpperCase()}`),
    kid("v.vault.azure.net:443", `/keys/My-Key/${VERSION}`),
  ])("names the version: %s", (id) => {
    expect(versionOf(id, key, false)).toBe(VERSION);
  });

  it.each([
    kid("w.vault.azure.net", `/keys/My-Key/${VERSION}`),
    kid("v.vault.azure.net:8443", `/keys/My-Key/${VERSION}`),
    `http://v.vault.azure.net/keys/My-Key/${VERSION}`,
  ])("of another vault names none, but for an emulator: %s", (id) => {
    expect(versionOf(id, key, false)).toBeUndefined();
    expect(versionOf(id, key, true)).toBe(VERSION);
  });

  it.each([
    kid("v.vault.azure.net", `/keys/Other/${VERSION}`),
    kid("v.vault.azure.net", `/secrets/My-Key/${VERSION}`),
    kid("v.vault.azure.net", "/keys/My-Key"),
    kid("v.vault.azure.net", "/keys/My-Key/"),
    kid("v.vault.azure.net", `/keys/My-Key/${VERSION}0`),
    kid("v.vault.azure.net", `/keys/My-Key/${VERSION}/x`),
    "none",
    "",
  ])("names none: %s", (id) => {
    expect(versionOf(id, key, true)).toBeUndefined();
  });

  it("has a version of 16 bytes and their hexadecimal", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), (bytes) => {
        expect(versionBytes(hex(bytes))).toStrictEqual(new Uint8Array(bytes));
      }),
    );
  });
});
