import { describe, expect, it } from "vitest";

import type { CheckOptions } from "../../src/config/cross-check.ts";
import { ARN, mistakesIn, parseValue } from "./fixture.ts";

const CRYPTO_KEY = "projects/kek-prod/locations/europe-west3/keyRings/kek/cryptoKeys/prod";
const KEY_URL = "https://kek-prod.vault.azure.net/keys/prod";
const HSM_URL = "https://kek-prod.managedhsm.azure.net/keys/prod";
const GUID = "01234567-89ab-cdef-0123-456789abcdef";
const ISSUER = { issuer: { url: "https://kek-issuer.example.com" } };

const FEDERATED = {
  aws: { awsKms: { keyArn: ARN, federation: { roleArn: "arn:aws:iam::111122223333:role/kek-broker" } } },
  gcp: {
    gcpKms: {
      cryptoKey: CRYPTO_KEY,
      federation: {
        provider: "projects/1234/locations/global/workloadIdentityPools/kek-broker/providers/issuer",
        serviceAccount: "kek-broker@kek-prod.iam.gserviceaccount.com",
      },
    },
  },
  az: { azureKeyVault: { keyUrl: KEY_URL, federation: { tenantId: GUID, clientId: GUID } } },
};
const PLAIN = {
  aws: { awsKms: { keyArn: ARN } },
  gcp: { gcpKms: { cryptoKey: CRYPTO_KEY } },
  az: { azureKeyVault: { keyUrl: KEY_URL } },
};
const WORKER: Partial<CheckOptions> = { listens: false, worker: { awsKeys: false } };

function configOf(members: object, more: object = {}) {
  return { audience: "https://kek.example.com", keks: { prod: { members } }, ...more };
}

/** What is told of one member `m`, its path shortened. */
function told(member: object, more: object = {}, options: Partial<CheckOptions> = {}): string[] {
  return mistakesIn(configOf({ m: member }, more), options).map((line) =>
    line.replace("keks.prod.members.m.", ""),
  );
}

const development = { allowDevelopmentKeys: true };
const aws = (more: object) => ({ awsKms: { keyArn: ARN, ...more } });
const gcp = (more: object) => ({ gcpKms: { cryptoKey: CRYPTO_KEY, ...more } });
const az = (more: object) => ({ azureKeyVault: { keyUrl: KEY_URL, ...more } });
const { federation: roleOf } = FEDERATED.aws.awsKms;
const { federation: poolOf } = FEDERATED.gcp.gcpKms;
const { federation: appOf } = FEDERATED.az.azureKeyVault;

describe("members in three clouds", () => {
  it("are accepted with the platform's own credentials, defaults applied", () => {
    const { members } = parseValue(configOf(PLAIN)).keks["prod"] ?? {};
    expect(members?.["gcp"]).toEqual({ gcpKms: { cryptoKey: CRYPTO_KEY }, use: "both" });
    expect(members?.["az"]?.azureKeyVault).toEqual({
      keyUrl: KEY_URL,
      algorithm: "RSA-OAEP-256",
      bits: 2048,
    });
  });

  it("are accepted by federation from an issuer of the broker's own, whose subject has a default", () => {
    const config = parseValue(configOf(FEDERATED, { identity: ISSUER }));
    expect(config.identity).toEqual({
      issuer: { url: "https://kek-issuer.example.com", subject: "kek-broker" },
    });
  });

  it.each(["aws", "google", "azure"])("are accepted by federation from the platform %s", (platform) => {
    expect(mistakesIn(configOf(FEDERATED, { identity: { platform } }))).toEqual([]);
  });

  it.each([
    ["a Managed HSM's symmetric key", az({ keyUrl: HSM_URL, algorithm: "A256KW" })],
    ["another cloud of Azure", az({ keyUrl: "https://kek.vault.azure.cn/keys/k", bits: 4096 })],
    [
      "a key of a domain's project",
      gcp({ cryptoKey: CRYPTO_KEY.replace("kek-prod", "example.com:kek-prod") }),
    ],
    [
      "Google by REST at a private endpoint",
      gcp({ endpoint: "https://kms.p.googleapis.com", transport: "rest" }),
    ],
    ["AWS at an emulator on loopback", aws({ endpoint: "http://127.0.0.1:4566" })],
  ])("are accepted: %s", (_name, member) => expect(told(member)).toEqual([]));
});

const NOT_A_CRYPTO_KEY =
  "gcpKms.cryptoKey: must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, without a version: the primary one wraps";
const NOT_A_KEY_URL =
  "azureKeyVault.keyUrl: must be https://NAME.vault.azure.net/keys/KEY in lower case but for the key, without a version: the newest one wraps";
const NOT_AZURE =
  "azureKeyVault.keyUrl: is not on a host of Azure Key Vault: for development only, and then with allowDevelopmentKeys: true";

describe("a member's key is refused", () => {
  it.each([
    ["a version of a Google key", gcp({ cryptoKey: `${CRYPTO_KEY}/cryptoKeyVersions/1` }), NOT_A_CRYPTO_KEY],
    ["a key ring", gcp({ cryptoKey: "projects/p/locations/l/keyRings/r" }), NOT_A_CRYPTO_KEY],
    ["a way out of the resource's name", gcp({ cryptoKey: `${CRYPTO_KEY}/../x` }), NOT_A_CRYPTO_KEY],
    ["an unknown transport", gcp({ transport: "http" }), "gcpKms.transport: must be one of grpc, rest"],
    [
      "an Azure key with a version",
      az({ keyUrl: `${KEY_URL}/0123456789abcdef0123456789abcdef` }),
      NOT_A_KEY_URL,
    ],
    ["a vault without a key", az({ keyUrl: "https://kek.vault.azure.net" }), NOT_A_KEY_URL],
    ["a vault's secret", az({ keyUrl: "https://kek.vault.azure.net/secrets/k" }), NOT_A_KEY_URL],
    ["a key URL with a query", az({ keyUrl: `${KEY_URL}?api-version=7.4` }), NOT_A_KEY_URL],
    ["a key URL with a user", az({ keyUrl: "https://a@kek.vault.azure.net/keys/k" }), NOT_A_KEY_URL],
    ["plain http to a vault", az({ keyUrl: "http://kek.vault.azure.net/keys/k" }), NOT_A_KEY_URL],
    ["another host than Azure's", az({ keyUrl: "https://vault.example.com/keys/k" }), NOT_AZURE],
    [
      "a host that begins as Azure's",
      az({ keyUrl: "https://k.vault.azure.net.example.com/keys/k" }),
      NOT_AZURE,
    ],
    ["a host below a vault", az({ keyUrl: "https://a.b.vault.azure.net/keys/k" }), NOT_AZURE],
    ["a local vault", az({ keyUrl: "https://127.0.0.1:8443/keys/k" }), NOT_AZURE],
    [
      "a symmetric key in a vault",
      az({ algorithm: "A256KW" }),
      "azureKeyVault.algorithm: is for symmetric keys, and only a Managed HSM holds those: use RSA-OAEP-256",
    ],
    [
      "an algorithm that wraps on this machine",
      az({ algorithm: "RSA-OAEP" }),
      "azureKeyVault.algorithm: must be one of RSA-OAEP-256, A256KW",
    ],
    ["an unknown size", az({ bits: 1024 }), "azureKeyVault.bits: must be one of 2048, 3072, 4096"],
  ])("for %s", (_name, member, ...lines) => expect(told(member)).toEqual(lines));

  it.each([
    ["a vault on this machine", az({ keyUrl: "https://127.0.0.1:8443/keys/k" })],
    ["a symmetric key there", az({ keyUrl: "https://localhost:8443/keys/k", algorithm: "A256KW" })],
    ["Google without TLS on this machine", gcp({ endpoint: "http://127.0.0.1:9000" })],
    ["AWS without TLS anywhere", aws({ endpoint: "http://aws:4566" })],
  ])("in development not for %s", (_name, member) => {
    expect(told(member, development)).toEqual([]);
    expect(told(member, {}, development)).toEqual([]);
  });
});

describe("an endpoint that gets a token", () => {
  const ENDPOINTS: [field: string, memberAt: (url: string) => object][] = [
    ["awsKms.federation.endpoint", (endpoint) => aws({ federation: { ...roleOf, endpoint } })],
    ["gcpKms.federation.endpoint", (endpoint) => gcp({ federation: { ...poolOf, endpoint } })],
    ["azureKeyVault.federation.authority", (authority) => az({ federation: { ...appOf, authority } })],
    ["gcpKms.endpoint", (endpoint) => gcp({ endpoint, federation: poolOf })],
  ];

  it.each(ENDPOINTS)(
    "(%s) may be any https host, and http on this machine in development alone",
    (field, at) => {
      const identity = { identity: ISSUER };
      expect(told(at("https://x.example.com"), identity)).toEqual([]);
      expect(told(at("http://127.0.0.1:1"), identity)).toEqual([
        `${field}: must be https; http is for development, with allowDevelopmentKeys: true`,
      ]);
      expect(told(at("http://127.0.0.1:1"), { ...identity, ...development })).toEqual([]);
      expect(told(at("http://x.example.com"), { ...identity, ...development })).toEqual([
        `${field}: must be https outside this machine`,
      ]);
      expect(told(at("https://x.example.com/?a=b"), identity)).toEqual([
        `${field}: must be a URL without user name, query or fragment`,
      ]);
    },
  );
});

describe("federation is refused", () => {
  it.each([
    [
      "for a user's ARN",
      aws({ federation: { roleArn: "arn:aws:iam::111122223333:user/me" } }),
      "awsKms.federation.roleArn: must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME",
    ],
    [
      "for a pool without a provider",
      gcp({ federation: { provider: "projects/1/locations/global/workloadIdentityPools/pool" } }),
      "gcpKms.federation.provider: must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number and no host before it",
    ],
    [
      "for a project's name in a provider, which Google takes by number alone",
      gcp({ federation: { ...poolOf, provider: poolOf.provider.replace("1234", "kek-prod") } }),
      "gcpKms.federation.provider: must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number and no host before it",
    ],
    [
      "for a person in place of a service account",
      gcp({ federation: { ...poolOf, serviceAccount: "me@example.com" } }),
      "gcpKms.federation.serviceAccount: must be a service account, NAME@PROJECT.iam.gserviceaccount.com",
    ],
    [
      "for a tenant's name",
      az({ federation: { ...appOf, tenantId: "example.onmicrosoft.com" } }),
      "azureKeyVault.federation.tenantId: must be an id as 01234567-89ab-cdef-0123-456789abcdef",
    ],
    [
      "for an audience with white space",
      aws({ federation: { ...roleOf, audience: "a b" } }),
      "awsKms.federation.audience: must be 1 to 255 characters without white space",
    ],
  ])("%s", (_name, member, ...lines) => expect(told(member, { identity: ISSUER })).toEqual(lines));

  it("for each member when there is no identity", () => {
    expect(mistakesIn(configOf(FEDERATED))).toEqual([
      "keks.prod.members.aws.awsKms.federation: needs identity: who the broker is to this cloud",
      "keks.prod.members.gcp.gcpKms.federation: needs identity: who the broker is to this cloud",
      "keks.prod.members.az.azureKeyVault.federation: needs identity: who the broker is to this cloud",
    ]);
  });

  it("not for an identity that is wrong itself, which is told alone", () => {
    expect(mistakesIn(configOf(FEDERATED, { identity: {} }))).toEqual([
      "identity: give exactly one of issuer, platform",
    ]);
  });
});

describe("an identity is refused", () => {
  it.each([
    [{ ...ISSUER, platform: "aws" }, "identity: give exactly one of issuer, platform"],
    [{ platform: "cloudflare" }, "identity.platform: must be one of aws, google, azure"],
    [{ issuer: {} }, "identity.issuer.url: is missing"],
    [{ issuer: { url: "http://kek-issuer.example.com" } }, "identity.issuer.url: must be an https:// URL"],
    [
      { issuer: { url: "https://kek-issuer.example.com/" } },
      "identity.issuer.url: must not end with a slash: clouds compare it exactly",
    ],
    [
      { issuer: { ...ISSUER.issuer, subject: "kek broker" } },
      "identity.issuer.subject: must be 1 to 127 letters, digits or any of . _ : / @ -",
    ],
    [{ issuer: { ...ISSUER.issuer, key: "x" } }, "identity.issuer.key: is not a field here"],
  ])("(%j)", (identity, ...lines) => {
    expect(mistakesIn(configOf(FEDERATED, { identity }))).toEqual(lines);
  });

  it("when nobody uses it", () => {
    expect(mistakesIn(configOf(PLAIN, { identity: ISSUER }))).toEqual([
      "identity: is used by nobody: give a member federation, or leave this out",
    ]);
  });

  it("not when who uses it is broken, which is told alone", () => {
    expect(mistakesIn(configOf({ aws: { ...FEDERATED.aws, use: "no" } }, { identity: ISSUER }))).toEqual([
      "keks.prod.members.aws.use: must be one of both, unwrap",
    ]);
  });
});

describe("on Workers", () => {
  it("every cloud's key needs federation", () => {
    expect(mistakesIn(configOf(PLAIN), WORKER)).toEqual([
      "keks.prod.members.aws.awsKms: needs federation: Workers have no credentials of a cloud, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
      "keks.prod.members.gcp.gcpKms: needs federation: Workers have no credentials of a cloud",
      "keks.prod.members.az.azureKeyVault: needs federation: Workers have no credentials of a cloud",
    ]);
  });

  it("AWS may go by keys that are the Worker's secrets", () => {
    const options = { ...WORKER, worker: { awsKeys: true } };
    expect(mistakesIn(configOf({ aws: PLAIN.aws }), options)).toEqual([]);
  });

  it("an issuer of the broker's own is accepted", () => {
    expect(mistakesIn(configOf(FEDERATED, { identity: ISSUER }), WORKER)).toEqual([]);
  });

  it("a platform's identity and gRPC are refused", () => {
    const members = { gcp: { gcpKms: { ...FEDERATED.gcp.gcpKms, transport: "grpc" } } };
    expect(mistakesIn(configOf(members, { identity: { platform: "google" } }), WORKER)).toEqual([
      "identity.platform: Workers have no identity of their own that clouds know: use issuer",
      "keks.prod.members.gcp.gcpKms.transport: must be rest: Workers speak no gRPC",
    ]);
  });
});
