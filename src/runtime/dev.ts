import { randomBytes, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { stringify } from "yaml";

import { parseShimConfig } from "../shim/config.ts";
import { startShim } from "../shim/shim.ts";
import { startBroker } from "./node.ts";
import { DEV_AUDIENCE, DEV_CLUSTER, DEV_KEK, DEV_NODE, openDevFolder, type DevFolder } from "./dev/folder.ts";
import { connectKms } from "./dev/kms-client.ts";
import { howToUse, type Transcript } from "./dev/words.ts";

export interface DevOptions {
  /** Where everything is kept. */
  readonly dir: string;
  /** The broker's port on loopback; 0 takes a free one. */
  readonly port: number;
  /** Takes what a person should read, a line at a time. */
  readonly print: (line: string) => void;
}

export interface RunningDev {
  readonly folder: DevFolder;
  readonly brokerUrl: string;
  /** Leaves no socket and no port; the folder stays. */
  close(): Promise<void>;
}

/**
 * The whole thing on one machine: a broker with a development KEK, a shim with its own node key, and a real KMS v2
 * round trip over the socket, then both stay up.
 */
export async function startDev({ dir, port, print }: DevOptions): Promise<RunningDev> {
  const folder = await openDevFolder(dir);
  const log = createWriteStream(folder.log, { flags: "a", mode: 0o600 });
  const logLine = (line: string): void => void log.write(`${line}\n`);
  const broker = await startBroker({
    configPath: folder.brokerConfig,
    development: true,
    override: {
      listen: `127.0.0.1:${port}`,
      private: "127.0.0.1:0",
      audit: { file: folder.custody },
    },
    print: logLine,
  });
  try {
    const shimText = stringify({
      kek: DEV_KEK,
      cluster: DEV_CLUSTER,
      node: DEV_NODE,
      listen: `unix://${folder.socket}`,
      brokers: [broker.url],
      audience: DEV_AUDIENCE,
      identity: { nodeKey: folder.nodeKey },
      mode: "direct",
      http: "127.0.0.1:0",
    });
    await writeFile(folder.shimConfig, shimText, { mode: 0o600 });
    const shim = await startShim(parseShimConfig(shimText), { print: logLine });
    const close = async (): Promise<void> => {
      await shim.close();
      await broker.close();
      log.end();
    };
    try {
      const early = await Promise.race([shim.ready, shim.stopped]);
      if (early !== undefined) throw early;
      const transcript = await roundTrip(folder.socket);
      const lines = howToUse({
        folder,
        transcript,
        brokerUrl: broker.url,
        privateUrl: broker.privateUrl,
        shimUrl: shim.httpUrl,
      });
      await writeFile(folder.encryptionConfig, lines.encryptionConfiguration);
      for (const line of lines.screen) print(line);
      return { folder, brokerUrl: broker.url, close };
    } catch (cause) {
      await shim.close();
      throw cause;
    }
  } catch (cause) {
    await broker.close();
    log.end();
    throw cause;
  }
}

/** What kube-apiserver does: asks for the status, has a seed wrapped, has it unwrapped. */
async function roundTrip(socket: string): Promise<Transcript> {
  const client = connectKms(socket);
  try {
    const status = await client.status();
    const seed = randomBytes(32);
    const encrypted = await client.encrypt({ plaintext: seed, uid: randomUUID() });
    const decrypted = await client.decrypt({
      ciphertext: encrypted.ciphertext,
      uid: randomUUID(),
      keyId: encrypted.keyId,
      annotations: encrypted.annotations,
    });
    if (!seed.equals(decrypted.plaintext)) throw new Error("Decrypt did not return what Encrypt was given");
    return {
      version: status.version,
      healthz: status.healthz,
      keyId: status.keyId,
      seedBytes: seed.length,
      ciphertextBytes: encrypted.ciphertext.length,
    };
  } finally {
    client.close();
  }
}
