import { mkdirSync } from "node:fs";
import { join } from "node:path";

import {
  CreateKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  KMSClient,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
} from "@aws-sdk/client-kms";

import { freePort } from "../kubernetes/ports.ts";
import type { Sandbox } from "../kubernetes/sandbox.ts";
import { installLocalKms, installMoto } from "./install.mjs";

const REGION = "us-east-1";
/** No emulator looks at them, but the SDK wants some. */
export const CREDENTIALS = { accessKeyId: "an-emulator", secretAccessKey: "takes-anything" };

const READY_WITHIN_MS = 30_000;

export interface AwsEmulator {
  readonly url: string;
}

/** moto (PyPI), which keeps nothing across restarts. It stops with the sandbox. */
export async function startMoto(sandbox: Sandbox): Promise<AwsEmulator> {
  const port = await freePort();
  const daemon = await sandbox.run({
    name: "moto",
    file: join(installMoto().bin, "moto_server"),
    args: ["-H", "127.0.0.1", "-p", String(port)],
  });
  const url = `http://127.0.0.1:${port}`;
  await daemon.until("moto answers", () => answers(`${url}/moto-api/data.json`), {
    withinMs: READY_WITHIN_MS,
  });
  return { url };
}

/** local-kms (a Go module), on an empty folder. It listens on all interfaces and has no setting for that. */
export async function startLocalKms(sandbox: Sandbox): Promise<AwsEmulator> {
  const port = await freePort();
  const data = sandbox.path("local-kms-data");
  mkdirSync(data);
  const daemon = await sandbox.run({
    name: "local-kms",
    file: installLocalKms().program,
    args: [],
    env: { PORT: String(port), KMS_REGION: REGION, KMS_ACCOUNT_ID: "111122223333", KMS_DATA_PATH: data },
  });
  const url = `http://127.0.0.1:${port}`;
  await daemon.until("local-kms answers", () => answers(url), { withinMs: READY_WITHIN_MS });
  return { url };
}

async function answers(url: string): Promise<true | undefined> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
  await response.arrayBuffer();
  return response.status < 500 || response.status === 501 ? true : undefined;
}

/** The custodian's side of AWS KMS, which the broker has no rights to. */
export class KeyAdmin {
  readonly #client: KMSClient;

  constructor(endpoint: string, region = REGION) {
    this.#client = new KMSClient({ endpoint, region, credentials: CREDENTIALS, maxAttempts: 1 });
  }

  /** Creates a symmetric key and returns its ARN. */
  async createKey(): Promise<string> {
    const { KeyMetadata } = await this.#client.send(new CreateKeyCommand({}));
    if (KeyMetadata?.Arn === undefined) throw new Error("the emulator made a key without an ARN");
    return KeyMetadata.Arn;
  }

  /** Gives the key new material; what the old one encrypted still opens. */
  async rotate(keyArn: string): Promise<void> {
    await this.#client.send(new RotateKeyOnDemandCommand({ KeyId: keyArn }));
  }

  async disable(keyArn: string): Promise<void> {
    await this.#client.send(new DisableKeyCommand({ KeyId: keyArn }));
  }

  async enable(keyArn: string): Promise<void> {
    await this.#client.send(new EnableKeyCommand({ KeyId: keyArn }));
  }

  async scheduleDeletion(keyArn: string): Promise<void> {
    await this.#client.send(new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 7 }));
  }
}
