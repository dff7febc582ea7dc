import type { Log } from "../log.ts";
import { createExecIdentity } from "./exec.ts";
import type { Identity } from "./identity.ts";
import { createNodeKeyIdentity } from "./node-key.ts";
import type { NodeKeySettings } from "./node-key.ts";
import { createTokenFileIdentity } from "./token-file.ts";

/** The part of the configuration that identities are made from. */
export interface IdentitySettings extends Omit<NodeKeySettings, "file" | "node"> {
  readonly node?: string | undefined;
  readonly identity: {
    readonly nodeKey?: string | undefined;
    readonly tokenFile?: string | undefined;
    readonly exec?: readonly string[] | undefined;
  };
}

/**
 * The identity that the configuration names.
 * @throws StartError `IdentityUnusable` when its file cannot be used now.
 */
export function createIdentity(settings: IdentitySettings, log: Log): Identity {
  const { nodeKey, tokenFile, exec } = settings.identity;
  if (nodeKey !== undefined) {
    return createNodeKeyIdentity({ ...settings, node: settings.node ?? "", file: nodeKey }, log);
  }
  if (tokenFile !== undefined) return createTokenFileIdentity(tokenFile, log);
  return createExecIdentity(exec ?? []);
}
