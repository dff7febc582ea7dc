import { afterAll, beforeAll, vi } from "vitest";

import { createAzureProvider } from "../../src/kms/azure.ts";
import type { AzureAlgorithm, AzureBits } from "../../src/kms/azure-key.ts";
import {
  credentialOf,
  type HttpsVault,
  startFakeKeyVault,
  trustInThisProcess,
} from "../emulators/azure-key-vault-server.ts";
import { describeProviderContract } from "../emulators/provider-contract.ts";

let fake: HttpsVault;
let distrust: () => void;

// Making an RSA key takes long on a busy machine.
vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 });

beforeAll(async () => {
  fake = await startFakeKeyVault();
  distrust = trustInThisProcess(fake.ca);
});
afterAll(async () => {
  distrust?.();
  await fake?.close();
});

interface Kind {
  readonly name: string;
  readonly kty: "RSA" | "oct-HSM";
  readonly algorithm: AzureAlgorithm;
  readonly bits: AzureBits;
}

const KINDS: readonly Kind[] = [
  { name: "RSA-2048", kty: "RSA", algorithm: "RSA-OAEP-256", bits: 2048 },
  { name: "RSA-3072", kty: "RSA", algorithm: "RSA-OAEP-256", bits: 3072 },
  { name: "a symmetric HSM key", kty: "oct-HSM", algorithm: "A256KW", bits: 2048 },
];

// Azure deletes keys, never single versions, and a vault is in one region: no `destroyOlder`, no `inAnotherRegion`.
for (const { name, kty, algorithm, bits } of KINDS) {
  describeProviderContract<string>(`Azure Key Vault with ${name}, on our fake`, {
    deterministic: algorithm === "A256KW",
    newKey: async () => fake.vault.createKey({ kty, ...(kty === "RSA" && { bits }) }),
    open: (keyUrl) =>
      createAzureProvider({
        keyUrl,
        algorithm,
        bits,
        credential: credentialOf(fake.vault.issueToken()),
        anyHost: true,
      }),
    rotate: async (keyUrl) => {
      fake.vault.rotate(keyUrl);
      return keyUrl;
    },
    disable: async (keyUrl) => fake.vault.disable(keyUrl),
    enable: async (keyUrl) => fake.vault.enable(keyUrl),
    scheduleDeletion: async (keyUrl) => fake.vault.deleteKey(keyUrl),
    disableOlder: async (keyUrl) => fake.vault.disable(keyUrl, "older"),
    forbid: async (keyUrl) => fake.vault.forbid(keyUrl),
    unknownKey: () => `${fake.url}/keys/never-made`,
    inject: (fault) => fake.vault.inject(fault),
  });
}
