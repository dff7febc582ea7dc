import { randomBytes } from "node:crypto";

import type { BrokerConfigInput } from "../../src/config/schema.ts";
import type { NetworkFault } from "./network-fault.ts";

export type MemberInput = NonNullable<BrokerConfigInput["keks"]>[string]["members"][string];

export type IdentityInput = NonNullable<BrokerConfigInput["identity"]>;

/** What can be wrong with a member, until it is mended: the way to its cloud, the cloud itself, or its key. */
export const CLOUD_FAULTS = ["refused", "silent", "slow", "throttled", "disabled"] as const;
export type CloudFault = NetworkFault | "throttled" | "disabled";

/** A key in a cloud, and the custodian's side of it. */
export interface CustodianKey {
  /** As the broker's configuration has it now. */
  readonly member: MemberInput;
  /** What a broker's process needs to use it. */
  readonly env: Readonly<Record<string, string>>;
  /** Who the broker has to be to use it, where its cloud's own credentials would not do here. */
  readonly identity?: IdentityInput;
  /** Makes a new version that wraps from now on. A local key's is a change of `member`, for brokers to reload. */
  rotate(): Promise<void>;
  close(): Promise<void>;
}

/** A key whose cloud can be made to fail, for as long as is wanted. */
export interface CloudKey extends CustodianKey {
  fail(fault: CloudFault): Promise<void>;
  /** Whatever was wrong with it is not any more. */
  mend(): Promise<void>;
}

/** A key that is in the broker's own configuration. */
export class LocalKey implements CustodianKey {
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
