import { crc32c } from "@aws-crypto/crc32c";
import * as fc from "fast-check";
import { beforeEach, describe, expect, it } from "vitest";

import { createGcpProvider } from "../../src/kms/gcp.ts";
import type {
  CryptoKeyAnswer,
  DecryptAnswer,
  DecryptRequest,
  EncryptAnswer,
  EncryptRequest,
  GoogleKms,
} from "../../src/kms/google-kms.ts";
import { ProviderError } from "../../src/kms/key-provider.ts";

const KEY = "projects/kek-broker-test/locations/europe-west1/keyRings/ring/cryptoKeys/key";
const BY_NUMBER = KEY.replace("kek-broker-test", "111122223333");
const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const SECRET = new Uint8Array(32).fill(7);
const CIPHERTEXT = new Uint8Array(114).fill(9);
const call = { signal: new AbortController().signal, requestId: "request-1" };

let asked: (EncryptRequest | DecryptRequest)[];
let encrypted: EncryptAnswer;
let decrypted: DecryptAnswer;
let key: CryptoKeyAnswer;

const transport: GoogleKms = {
  async encrypt(request) {
    asked.push(request);
    return encrypted;
  },
  async decrypt(request) {
    asked.push(request);
    return decrypted;
  },
  getCryptoKey: async () => key,
};
const provider = createGcpProvider({ cryptoKey: KEY, transport });

beforeEach(() => {
  asked = [];
  encrypted = {
    name: `${KEY}/cryptoKeyVersions/3`,
    ciphertext: CIPHERTEXT,
    ciphertextCrc32c: crc32c(CIPHERTEXT),
    verifiedPlaintextCrc32c: true,
    verifiedAdditionalAuthenticatedDataCrc32c: true,
  };
  decrypted = { plaintext: SECRET.slice(), plaintextCrc32c: crc32c(SECRET) };
  key = {
    name: KEY,
    purpose: "ENCRYPT_DECRYPT",
    primary: { name: `${KEY}/cryptoKeyVersions/3`, state: "ENABLED" },
  };
});

async function codeOf(act: Promise<unknown>) {
  const error = await act.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof ProviderError)) throw new Error("not a ProviderError", { cause: error });
  expect(error.message).not.toContain("projects/");
  return error.code;
}

describe("what Google is asked", () => {
  /** `kek-broker/gcp-kms/v1`, `prod-secrets` and `prod-eu-1`, each behind its length in two bytes. */
  const AAD =
    "00156b656b2d62726f6b65722f6763702d6b6d732f7631000c70726f642d73656372657473000970726f642d65752d31";

  it("binds KEK and cluster, and sums all that is sent, when it encrypts and when it decrypts", async () => {
    await provider.wrap(SECRET, CONTEXT, call);
    await provider.unwrap(CIPHERTEXT, CONTEXT, call);
    const aad = new Uint8Array(Buffer.from(AAD, "hex"));
    const bound = {
      name: KEY,
      additionalAuthenticatedData: aad,
      additionalAuthenticatedDataCrc32c: crc32c(aad),
    };
    expect(asked).toStrictEqual([
      { ...bound, plaintext: SECRET, plaintextCrc32c: crc32c(SECRET) },
      { ...bound, ciphertext: CIPHERTEXT, ciphertextCrc32c: crc32c(CIPHERTEXT) },
    ]);
  });

  it("sums by CRC32C, as the check value of its catalogue has it", () => {
    expect(crc32c(new TextEncoder().encode("123456789"))).toBe(0xe3_06_92_83);
  });

  it("never binds two contexts by the same bytes", async () => {
    const name = fc.string({ maxLength: 12 });
    const context = fc.record({ kek: name, cluster: name });
    await fc.assert(
      fc.asyncProperty(context, context, async (one, other) => {
        fc.pre(one.kek !== other.kek || one.cluster !== other.cluster);
        asked = [];
        await provider.wrap(SECRET, one, call);
        await provider.wrap(SECRET, other, call);
        expect(asked[0]?.additionalAuthenticatedData).not.toStrictEqual(
          asked[1]?.additionalAuthenticatedData,
        );
      }),
    );
  });

  it("is nothing at all for a wrap without bytes", async () => {
    expect(await codeOf(provider.unwrap(new Uint8Array(0), CONTEXT, call))).toBe("InvalidCiphertext");
    expect(asked).toStrictEqual([]);
  });
});

describe("which version it was", () => {
  it("is its number, as Encrypt says and as the key says of its primary", async () => {
    expect(await provider.wrap(SECRET, CONTEXT, call)).toStrictEqual({ wrap: CIPHERTEXT, keyVersion: "3" });
    expect(await provider.currentVersion(call)).toBe("3");
  });

  it("is not told by Decrypt", async () => {
    expect(await provider.unwrap(CIPHERTEXT, CONTEXT, call)).toStrictEqual({ plaintext: SECRET });
  });

  it("is taken from a name with the project's number, where the key was named by the project's id", async () => {
    encrypted = { ...encrypted, name: `${BY_NUMBER}/cryptoKeyVersions/12` };
    expect((await provider.wrap(SECRET, CONTEXT, call)).keyVersion).toBe("12");
    const byNumber = createGcpProvider({ cryptoKey: BY_NUMBER, transport });
    expect(await byNumber.currentVersion(call)).toBe("3");
  });

  it.each(["DISABLED", "DESTROY_SCHEDULED", "DESTROYED", "PENDING_IMPORT", "ENABLED_TOMORROW", 17])(
    "is not told of a primary version that is %s",
    async (state) => {
      key = { ...key, primary: { name: `${KEY}/cryptoKeyVersions/3`, state } };
      expect(await codeOf(provider.currentVersion(call))).toBe("KeyUnavailable");
    },
  );

  it.each([null, undefined])("is not told of a key whose primary version is %s", async (primary) => {
    key = { ...key, primary };
    expect(await codeOf(provider.currentVersion(call))).toBe("KeyUnavailable");
  });

  it.each(["ASYMMETRIC_DECRYPT", "MAC", "RAW_ENCRYPT_DECRYPT", 0])(
    "is not told of a key whose purpose is %s",
    async (purpose) => {
      key = { ...key, purpose };
      expect(await codeOf(provider.currentVersion(call))).toBe("KeyUnavailable");
    },
  );
});

const foreign = [
  KEY.replace("cryptoKeys/key", "cryptoKeys/other"),
  KEY.replace("europe-west1", "us-central1"),
  KEY.replace("kek-broker-test", "someone-else"),
  `${KEY}x`,
  "",
];
const notVersions = [
  ...foreign.map((name) => `${name}/cryptoKeyVersions/3`),
  KEY,
  `${KEY}/cryptoKeyVersions/`,
];

describe("an answer that cannot be right is Unavailable", () => {
  it.each([
    { what: "the plaintext's sum was not verified", wrong: { verifiedPlaintextCrc32c: false } },
    { what: "the AAD's sum was not verified", wrong: { verifiedAdditionalAuthenticatedDataCrc32c: false } },
    { what: "the ciphertext's sum is wrong", wrong: { ciphertextCrc32c: crc32c(CIPHERTEXT) ^ 1 } },
    { what: "the ciphertext is another", wrong: { ciphertext: CIPHERTEXT.slice(1) } },
    ...[
      ...notVersions,
      `${KEY}/cryptoKeyVersions/0`,
      `${KEY}/cryptoKeyVersions/03`,
      `${KEY}/cryptoKeyVersions/3/x`,
    ].map((name) => ({ what: `it is of ${name}`, wrong: { name } })),
  ])("to Encrypt, when $what", async ({ wrong }) => {
    encrypted = { ...encrypted, ...wrong };
    expect(await codeOf(provider.wrap(SECRET, CONTEXT, call))).toBe("Unavailable");
  });

  it("to Decrypt, when the plaintext's sum is wrong; and the plaintext is wiped", async () => {
    decrypted = { plaintext: SECRET.slice(), plaintextCrc32c: crc32c(SECRET) ^ 1 };
    expect(await codeOf(provider.unwrap(CIPHERTEXT, CONTEXT, call))).toBe("Unavailable");
    expect(decrypted.plaintext).toStrictEqual(new Uint8Array(32));
  });

  it.each(foreign)("to GetCryptoKey, when it is of the key %s", async (name) => {
    key = { ...key, name };
    expect(await codeOf(provider.currentVersion(call))).toBe("Unavailable");
  });

  it.each(notVersions)("to GetCryptoKey, when its primary version is %s", async (name) => {
    key = { ...key, primary: { name, state: "ENABLED" } };
    expect(await codeOf(provider.currentVersion(call))).toBe("Unavailable");
  });
});
