import { readHead } from "../../src/envelope/open.ts";
import type { Cluster } from "./cluster.ts";
import { decodeStoredValue, type StoredValue } from "./stored-value.ts";

/** Every Secret of the cluster as etcd has it, in the order of their keys. */
export function storedSecrets(cluster: Cluster): Promise<StoredValue[]> {
  return under(cluster, "/registry/secrets/");
}

/** Everything of the cluster that is encrypted. */
export async function storedValues(cluster: Cluster): Promise<StoredValue[]> {
  return [...(await storedSecrets(cluster)), ...(await under(cluster, "/registry/configmaps/"))];
}

/** Names of the members that have wrapped what this value is encrypted under. */
export function membersIn({ encryptedDekSource }: StoredValue): string[] {
  return readHead(new Uint8Array(encryptedDekSource)).members.map(({ name }) => name);
}

async function under(cluster: Cluster, prefix: string): Promise<StoredValue[]> {
  return [...(await cluster.etcd.list(prefix)).values()].map(decodeStoredValue);
}
