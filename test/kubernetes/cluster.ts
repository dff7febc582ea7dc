import { Apiserver, type Until } from "./apiserver.ts";
import type { Tools } from "./tools.ts";
import { type Credentials, makeCredentials } from "./credentials.ts";
import { Etcd } from "./etcd.ts";
import type { Sandbox } from "./sandbox.ts";

/** One etcd and as many apiservers on it as a scenario wants. */
export class Cluster {
  readonly name: string;
  readonly etcd: Etcd;
  readonly #sandbox: Sandbox;
  readonly #tools: Tools;
  readonly #credentials: Credentials;

  private constructor(sandbox: Sandbox, tools: Tools, name: string, etcd: Etcd) {
    this.#sandbox = sandbox;
    this.#tools = tools;
    this.name = name;
    this.etcd = etcd;
    this.#credentials = makeCredentials(sandbox, name);
  }

  /** Starts its etcd; `name` is unique in the sandbox. */
  static async start(sandbox: Sandbox, tools: Tools, name: string): Promise<Cluster> {
    return new Cluster(sandbox, tools, name, await Etcd.start(sandbox, tools, `${name}-etcd`));
  }

  /** Adds an apiserver that takes the EncryptionConfiguration given. */
  addApiserver(node: string, encryption?: string, until?: Until): Promise<Apiserver> {
    return Apiserver.start(
      {
        sandbox: this.#sandbox,
        tools: this.#tools,
        etcd: this.etcd,
        credentials: this.#credentials,
        name: `${this.name}-${node}`,
        encryption,
      },
      until,
    );
  }
}
