import type { BrokerConfig } from "../config/schema.ts";
import type { KeyProvider } from "../kms/key-provider.ts";
import { indexPrincipals, type PrincipalIndex } from "./principals.ts";

/**
 * One configuration, ready to serve. Replaced as a whole on reload; a request keeps the one it began with.
 */
export interface BrokerState {
  readonly config: BrokerConfig;
  /** SHA-256 of the configuration, hex. */
  readonly digest: string;
  /** Every member of every KEK, by KEK and member name. */
  readonly providers: ProviderMap;
  readonly principals: PrincipalIndex;
}

export type ProviderMap = ReadonlyMap<string, ReadonlyMap<string, KeyProvider>>;

/**
 * @param config Checked already, across fields too.
 * @param providers One for every member in the configuration.
 */
export function createBrokerState(config: BrokerConfig, digest: string, providers: ProviderMap): BrokerState {
  for (const [kek, { members }] of Object.entries(config.keks)) {
    for (const member of Object.keys(members)) {
      if (providers.get(kek)?.get(member) === undefined) {
        throw new TypeError(`no provider for keks.${kek}.members.${member}`);
      }
    }
  }
  return { config, digest, providers, principals: indexPrincipals(config) };
}
