import { randomBytes } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { stringify } from "yaml";

import { makeNodeKey } from "../../config/node-key.ts";

/** Everything `kek-broker dev` keeps, in one folder: remove it to begin anew. */
export interface DevFolder {
  readonly dir: string;
  /** Holds the development KEK itself: 0600. */
  readonly brokerConfig: string;
  readonly nodeKey: string;
  readonly shimConfig: string;
  readonly encryptionConfig: string;
  readonly socket: string;
  readonly custody: string;
  readonly log: string;
  /** Whether an earlier start had made it: its keys are used again. */
  readonly resumed: boolean;
}

export const DEV_KEK = "dev";
export const DEV_CLUSTER = "dev";
export const DEV_NODE = "dev";
/** Names the broker in tokens; never looked up, and the same whatever port it has today. */
export const DEV_AUDIENCE = "https://dev.kek-broker.invalid";

/** Makes the folder and its keys, or finds what an earlier start had made. */
export async function openDevFolder(path: string): Promise<DevFolder> {
  const dir = resolve(path);
  await mkdir(dir, { recursive: true, mode: 0o700 });
  const at = (name: string): string => join(dir, name);
  const folder = {
    dir,
    brokerConfig: at("broker.yaml"),
    nodeKey: at("node-key.json"),
    shimConfig: at("shim.yaml"),
    encryptionConfig: at("encryption-config.yaml"),
    socket: at("kms.sock"),
    custody: at("custody.jsonl"),
    log: at("dev.log"),
  };
  const resumed = await exists(folder.brokerConfig);
  if (!resumed) await makeKeys(folder.nodeKey, folder.brokerConfig);
  return { ...folder, resumed };
}

/** The configuration is written last: a folder with it is whole. */
async function makeKeys(nodeKey: string, brokerConfig: string): Promise<void> {
  const { privateKey, publicKey } = await makeNodeKey("ES256");
  await writeFile(nodeKey, `${JSON.stringify(privateKey, null, 2)}\n`, { mode: 0o600 });
  const config = {
    audience: DEV_AUDIENCE,
    keks: {
      [DEV_KEK]: {
        members: {
          local: {
            local: { keys: [{ version: "v1", key: randomBytes(32).toString("base64") }], primary: "v1" },
          },
        },
      },
    },
    clusters: {
      [DEV_CLUSTER]: {
        id: DEV_CLUSTER,
        nodes: { [DEV_NODE]: { jwks: { keys: [publicKey] } } },
        allow: [{ kek: DEV_KEK, operations: ["wrap", "unwrap", "status"] }],
      },
    },
  };
  const text = `# Made by kek-broker dev. It holds the development KEK itself: keep it 0600 and never use it for anything real.\n${stringify(config)}`;
  await writeFile(brokerConfig, text, { mode: 0o600 });
}

async function exists(path: string): Promise<boolean> {
  try {
    await readFile(path);
    return true;
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return false;
    throw error;
  }
}
