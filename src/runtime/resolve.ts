import { lookup } from "node:dns/promises";

/** Every address of a host name. */
export async function addressesOf(host: string): Promise<string[]> {
  return (await lookup(host, { all: true })).map(({ address }) => address);
}
