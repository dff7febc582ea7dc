import { readHead } from "../../src/envelope/open.ts";
import type { Cluster } from "./cluster.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";

/** Every Secret of the cluster as etcd has it, in the order of their keys. */
export async function storedSecrets(cluster: Cluster): Promise<StoredValue[]> {
  return [...(await cluster.etcd.list("/registry/secrets/")).values()].map(decodeStoredValue);
}

/** Names of the members that have wrapped what this value is encrypted under. */
export function membersIn({ encryptedDekSource }: StoredValue): string[] {
  return readHead(new Uint8Array(encryptedDekSource)).members.map(({ name }) => name);
}
