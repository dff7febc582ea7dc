import { afterAll, beforeAll, vi } from "vitest";

import { createAzureProvider } from "../../src/kms/azure.ts";
import type { AzureAlgorithm, AzureBits } from "../../src/kms/azure-key.ts";
import {
  credentialOf,
  type HttpsVault,
  startFakeKeyVault,
  trustInThisProcess,
} from "../emulators/azure-key-vault-server.ts";
import { keysOfAzure } from "../emulators/fake-keys.ts";
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

for (const { name, kty, algorithm, bits } of KINDS) {
  describeProviderContract<string>(`Azure Key Vault with ${name}, on our fake`, {
    deterministic: algorithm === "A256KW",
    ...keysOfAzure(() => fake.vault, { kty, ...(kty === "RSA" && { bits }) }),
    open: (keyUrl) =>
      createAzureProvider({
        keyUrl,
        algorithm,
        bits,
        credential: credentialOf(fake.vault.issueToken()),
        anyHost: true,
      }),
  });
}
