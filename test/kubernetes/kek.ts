import { randomBytes } from "node:crypto";

import type { BrokerConfigInput } from "../../src/config/schema.ts";
import { CREDENTIALS, KeyAdmin, startMoto } from "../emulators/aws-emulators.ts";
import { startMotoWithKeyMaterialIdsAddedByUs } from "../emulators/moto-with-key-material-ids-added-by-us.ts";
import type { Sandbox } from "./sandbox.ts";

/** The kinds of key that the scenarios keep Secrets under, as the broker's configuration calls them. */
export const KEY_KINDS = ["local", "awsKms"] as const;
export type KeyKind = (typeof KEY_KINDS)[number];

type MemberInput = NonNullable<BrokerConfigInput["keks"]>[string]["members"][string];

/** The one key behind a KEK, and the custodian's side of it. */
export interface Kek {
  /** As the broker's configuration has it now. */
  readonly member: MemberInput;
  /** What the broker's process needs to use it. */
  readonly env: Readonly<Record<string, string>>;
  /** Makes a new version that wraps from now on. A local key's is a change of `member`, for the broker to reload. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

export function makeKek(sandbox: Sandbox, kind: KeyKind): Promise<Kek> | Kek {
  switch (kind) {
    case "local":
      return new LocalKek();
    case "awsKms":
      return MotoKek.start(sandbox);
  }
}

class LocalKek implements Kek {
  readonly env = {};
  readonly #keys: { version: string; key: string }[] = [];

  constructor() {
    this.#add();
  }

  get member(): MemberInput {
    return { local: { keys: [...this.#keys], primary: `v${this.#keys.length}` } };
  }

  async rotate(): Promise<void> {
    this.#add();
  }

  async close(): Promise<void> {}

  #add(): void {
    const version = `v${this.#keys.length + 1}`;
    this.#keys.push({ version, key: randomBytes(32).toString("base64") });
  }
}

/** AWS KMS as moto plays it, with the ids of key material that our proxy adds. */
class MotoKek implements Kek {
  readonly member: MemberInput;
  readonly env = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
  readonly rotate: () => Promise<void>;
  readonly close: () => Promise<void>;

  private constructor(keyArn: string, endpoint: string, admin: KeyAdmin, close: () => Promise<void>) {
    this.member = { awsKms: { keyArn, endpoint } };
    this.rotate = () => admin.rotate(keyArn);
    this.close = close;
  }

  static async start(sandbox: Sandbox): Promise<MotoKek> {
    const moto = await startMoto(sandbox);
    const admin = new KeyAdmin(moto.url);
    const keyArn = await admin.createKey();
    const proxy = await startMotoWithKeyMaterialIdsAddedByUs(moto.url);
    return new MotoKek(keyArn, proxy.url, admin, () => proxy.close());
  }
}
