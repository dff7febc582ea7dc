import { describe, expect, it } from "vitest";

import { DocumentError } from "../../src/wire/document.ts";
import { ARN, KEYS, parseValue } from "./fixture.ts";

/** Every field there is. */
const FULL = {
  audience: "https://kek.example.com",
  listen: "[::1]:8443",
  private: "127.0.0.1:8081",
  tls: { certFile: "a", keyFile: "b" },
  audit: { file: "a" },
  rateLimit: { principal: { perSecond: 1.5, burst: 1 }, cluster: { perSecond: 1, burst: 1 } },
  allowDevelopmentKeys: true,
  keks: {
    prod: {
      threshold: 1,
      wrapQuorum: 1,
      minThreshold: 1,
      allowRsaOnly: false,
      members: {
        aws: { awsKms: { keyArn: ARN, endpoint: "http://localhost:4566" }, use: "unwrap" },
        dev: { local: { keys: [{ version: "v1", key: `${"A".repeat(43)}=` }], primary: "v1" } },
      },
      lease: { maxAge: "10m", staleIfError: "24h", graceDenied: "1h" },
      epoch: 1,
    },
  },
  clusters: {
    eu: {
      id: "eu",
      nodes: {
        "cp-1": {
          jwks: { keys: [{ ...KEYS.one, kid: "1", alg: "ES256", use: "sig" }] },
          notAfter: "2027-11-01",
        },
        "cp-2": { jwks: { keys: [KEYS.ed] } },
      },
      identities: [
        {
          oidc: {
            issuer: "https://issuer.example.com",
            subject: "s",
            jwks: { keys: [KEYS.two] },
            privateAddresses: ["10.0.0.1", "fd00::1"],
          },
        },
      ],
      allow: [{ kek: "prod", operations: ["wrap", "unwrap", "status"] }],
      mayOpen: [{ cluster: "old", until: "2030-01-01T00:00:00Z" }],
    },
  },
  revoked: ["eu/cp-1"],
};

const ODD: readonly [name: string, value: unknown][] = [
  ["null", null],
  ["true", true],
  ["a number", -1.5],
  ["no text", ""],
  ["half a character", "\ud800"],
  ["43 characters of no alphabet", "é".repeat(43)],
  ["half a URL", "https://["],
  ["a long text", "1".repeat(1000)],
  ["a list of nothing", [null]],
  ["a map without a name", { "": null }],
  ["a map with a name that every object has", { constructor: {} }],
];

const paths = pathsOf(FULL);

describe("a configuration with a value of any kind at any place", { timeout: 30_000 }, () => {
  it("starts from one that is accepted", () => {
    expect(Object.keys(parseValue(FULL).keks)).toEqual(["prod"]);
    expect(paths.length).toBeGreaterThan(80);
  });

  it.each(ODD)("is accepted or refused with its mistakes, and never fails otherwise (%s)", (_name, odd) => {
    const outcomes = paths.map((path) => outcomeOf(replaced(FULL, path, odd)));
    expect(outcomes.filter((outcome) => outcome !== "accepted" && outcome !== "refused")).toEqual([]);
  });
});

function outcomeOf(value: unknown): string {
  try {
    parseValue(value);
    return "accepted";
  } catch (error) {
    return error instanceof DocumentError && error.issues.length > 0 ? "refused" : String(error);
  }
}

function pathsOf(value: unknown, path: readonly string[] = []): string[][] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([name, below]) => [
    [...path, name],
    ...pathsOf(below, [...path, name]),
  ]);
}

function replaced(value: unknown, [step, ...rest]: readonly string[], by: unknown): unknown {
  if (step === undefined) return by;
  if (Array.isArray(value)) {
    return value.map((entry: unknown, index) => (String(index) === step ? replaced(entry, rest, by) : entry));
  }
  return Object.fromEntries(
    Object.entries(Object(value)).map(([name, below]) => [
      name,
      name === step ? replaced(below, rest, by) : below,
    ]),
  );
}
