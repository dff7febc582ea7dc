import { createBrokerState, type BrokerState } from "../broker/state.ts";
import { azureHostOf } from "../config/cloud-key.ts";
import { configDigest } from "../config/digest.ts";
import type { CheckOptions } from "../config/cross-check.ts";
import { parseBrokerConfig } from "../config/parse.ts";
import type { BrokerConfig, Member } from "../config/schema.ts";
import { bounded } from "../kms/bounded.ts";
import type { KeyProvider } from "../kms/key-provider.ts";
import type { Platform } from "../kms/platform.ts";
import { providerFor } from "../kms/provider-for.ts";

/** A configuration ready to serve, with what the next one may keep of it. */
export interface LoadedConfig {
  readonly state: BrokerState;
  /** By the member's own configuration and the broker's identity, so that a reload keeps clients, breakers and warm connections. */
  readonly providers: ReadonlyMap<string, KeyProvider>;
}

/**
 * Parses a configuration and makes what it names ready. No cloud is asked.
 * @throws DocumentError with every mistake.
 */
export async function loadConfig(
  text: string,
  options: CheckOptions,
  platform: Platform,
  previous?: LoadedConfig,
): Promise<LoadedConfig> {
  const config = parseBrokerConfig(text, options);
  const digest = await configDigest(config);
  const identity = config.identity === undefined ? undefined : await platform.identity(config.identity);
  const providers = new Map<string, KeyProvider>();
  const provide = (kek: string, name: string, member: Member): KeyProvider => {
    const { use: _, ...key } = member;
    const is = JSON.stringify([kek, name, key, config.identity]);
    const { azureKeyVault: azure } = member;
    const anyHost = azure !== undefined && azureHostOf(azure.keyUrl) === "elsewhere";
    const place = { platform, kek, identity, anyHost };
    const provider = previous?.providers.get(is) ?? bounded(providerFor(key, place));
    providers.set(is, provider);
    return provider;
  };
  const byKek = new Map(
    Object.entries(config.keks).map(([kek, { members }]) => [
      kek,
      new Map(Object.entries(members).map(([name, member]) => [name, provide(kek, name, member)])),
    ]),
  );
  return { state: createBrokerState(config, digest, byKek), providers };
}

/** Whether any key is held in the configuration itself: to be warned of at every start. */
export function usesDevelopmentKeys({ keks }: BrokerConfig): boolean {
  return Object.values(keks).some(({ members }) =>
    Object.values(members).some(({ local }) => local !== undefined),
  );
}
