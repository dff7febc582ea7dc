import { randomBytes, randomUUID } from "node:crypto";
import { createWriteStream } from "node:fs";
import { writeFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { stringify } from "yaml";

import { parseShimConfig } from "../shim/config.ts";
import { startShim, type RunningShim } from "../shim/shim.ts";
import { startBroker } from "./node.ts";
import { DEV_AUDIENCE, DEV_CLUSTER, DEV_KEK, DEV_NODE, openDevFolder, type DevFolder } from "./dev/folder.ts";
import { connectKms } from "./dev/kms-client.ts";
import { howToUse, type Transcript } from "./dev/words.ts";

/** Everything is on this machine: longer means that something is wrong. */
const START_MS = 15_000;

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
  // A full disk must not end what is served for the sake of its log.
  log.on("error", () => {});
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
      await firstOk(shim, folder.log);
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

async function firstOk(shim: RunningShim, log: string): Promise<void> {
  const late = new AbortController();
  const tooLate = setTimeout(START_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(
      `the shim was not ready within ${START_MS / 1000} s (${shim.healthz()}): ${log} tells more`,
    );
  });
  try {
    const ended = await Promise.race([shim.ready, shim.stopped, tooLate]);
    if (ended !== undefined) throw ended;
  } finally {
    late.abort();
    await tooLate.catch(() => {});
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
