import type { FakeKeyVault } from "./azure-key-vault-fake.ts";
import type { FakeKeyOptions } from "./azure-key-vault-fake-key.ts";
import type { GoogleKmsFake } from "./google-kms-fake.ts";
import type { ProviderSubject } from "./provider-contract.ts";

/** What the contract does to keys on a fake, whoever opens them. */
type Keys = Omit<ProviderSubject<string>, "open" | "deterministic">;

/** @param fake it is started after the contract is described. */
export function keysOfGoogle(fake: () => GoogleKmsFake): Keys {
  return {
    newKey: async () => fake().admin.createKey(),
    async rotate(key) {
      fake().admin.rotate(key);
      return key;
    },
    disable: async (key) => fake().admin.setState(key, "DISABLED"),
    enable: async (key) => fake().admin.setState(key, "ENABLED"),
    scheduleDeletion: async (key) => fake().admin.setState(key, "DESTROY_SCHEDULED"),
    disableOlder: async (key) => fake().admin.setState(key, "DISABLED", "older"),
    destroyOlder: async (key) => fake().admin.setState(key, "DESTROYED", "older"),
    forbid: async (key) => fake().admin.forbid(key),
    unknownKey: () =>
      fake()
        .admin.createKey()
        .replace(/[^/]+$/, "was-never-made"),
    inAnotherRegion: (key) => key.replace("europe-west1", "us-central1"),
    inject: (fault) => fake().faults.inject(fault),
  };
}

/**
 * Azure deletes keys, never single versions, and a vault is in one region: no `destroyOlder`, no `inAnotherRegion`.
 * @param vault it is started after the contract is described.
 */
export function keysOfAzure(vault: () => FakeKeyVault, key: FakeKeyOptions): Keys {
  return {
    newKey: async () => vault().createKey(key),
    async rotate(keyUrl) {
      vault().rotate(keyUrl);
      return keyUrl;
    },
    disable: async (keyUrl) => vault().disable(keyUrl),
    enable: async (keyUrl) => vault().enable(keyUrl),
    scheduleDeletion: async (keyUrl) => vault().deleteKey(keyUrl),
    disableOlder: async (keyUrl) => vault().disable(keyUrl, "older"),
    forbid: async (keyUrl) => vault().forbid(keyUrl),
    unknownKey: () => `${vault().url}/keys/never-made`,
    inject: (fault) => vault().inject(fault),
  };
}
