import { describe, expect, expectTypeOf, it } from "vitest";

import type { Identity, Member } from "../../src/config/schema.ts";
import type { GoogleAccess, IdentitySettings } from "../../src/kms/platform.ts";
import { type MemberKey, providerFor } from "../../src/kms/provider-for.ts";
import { KEY_ARN } from "./fake-aws.ts";
import { testPlatform } from "./test-platform.ts";

const call = { signal: new AbortController().signal, requestId: "request-1" };
const CRYPTO_KEY = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
const KEY_URL = "https://kek.vault.azure.net/keys/k";
const credential = { getToken: () => Promise.resolve(null), forget: () => {} };
const identity = () => Promise.reject(new Error("not asked for"));

const place = { platform: testPlatform(), kek: "prod", anyHost: false };
const federated = { ...place, identity };
const AWS = { roleArn: "arn:aws:iam::111122223333:role/r" };
const GOOGLE = { provider: "projects/1/locations/global/workloadIdentityPools/pool/providers/prov" };
const ENTRA = {
  tenantId: "01234567-89ab-cdef-0123-456789abcdef",
  clientId: "01234567-89ab-cdef-0123-456789abcdef",
};

describe("a member's provider", () => {
  it("is AWS KMS for an awsKms member", () => {
    expect(providerFor({ awsKms: { keyArn: KEY_ARN } }, place).maxWrapBytes).toBe(184);
    expect(providerFor({ awsKms: { keyArn: KEY_ARN, federation: AWS } }, federated).symmetric).toBe(true);
  });

  it("is Google Cloud KMS for a gcpKms member, reached as the platform does it", () => {
    const asked: GoogleAccess[] = [];
    const platform = testPlatform({
      google: (access) => {
        asked.push(access);
        return testPlatform().google({ accessToken: () => Promise.reject(new Error("not asked for")) });
      },
    });
    const gcpKms = { cryptoKey: CRYPTO_KEY, endpoint: "https://kms.example.com", transport: "rest" } as const;
    expect(providerFor({ gcpKms }, { ...place, platform }).maxWrapBytes).toBe(114);
    expect(asked).toEqual([{ endpoint: "https://kms.example.com", transport: "rest" }]);
    providerFor({ gcpKms: { ...gcpKms, federation: GOOGLE } }, { ...federated, platform });
    expect(asked[1]?.accessToken).toBeTypeOf("function");
  });

  it("is Azure Key Vault for an azureKeyVault member", () => {
    const azureKeyVault = { keyUrl: KEY_URL, algorithm: "RSA-OAEP-256", bits: 3072 } as const;
    const platform = testPlatform({ azureCredential: () => credential });
    expect(providerFor({ azureKeyVault }, { ...place, platform }).maxWrapBytes).toBe(384);
    const withFederation = { azureKeyVault: { ...azureKeyVault, federation: ENTRA } };
    expect(providerFor(withFederation, federated).needsVersionToUnwrap).toBe(true);
  });

  it("is the local one for a local member", async () => {
    const local = { keys: [{ version: "v1", key: Buffer.alloc(32).toString("base64") }], primary: "v1" };
    await expect(providerFor({ local }, place).currentVersion(call)).resolves.toMatch(/^v1-/);
  });

  it("is none for a member without an alternative, which the configuration refuses", () => {
    expect(() => providerFor({}, place)).toThrow(TypeError);
  });

  it("is none for federation without an identity, which the configuration refuses", () => {
    expect(() => providerFor({ awsKms: { keyArn: KEY_ARN, federation: AWS } }, place)).toThrow(TypeError);
    expect(() => providerFor({ gcpKms: { cryptoKey: CRYPTO_KEY, federation: GOOGLE } }, place)).toThrow(
      TypeError,
    );
  });

  it("is there for every alternative that the configuration has", () => {
    expectTypeOf<Exclude<keyof Member, "use">>().toEqualTypeOf<keyof MemberKey>();
    expectTypeOf<Member>().toExtend<MemberKey>();
    expectTypeOf<Identity>().toExtend<IdentitySettings>();
  });
});
