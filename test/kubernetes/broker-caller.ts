import { randomBytes } from "node:crypto";

import { KekStatus, WrapResponse } from "../../src/wire/messages.ts";
import { call } from "../conformance/http/caller.ts";
import type { NodeIdentity } from "../conformance/http/fixture.ts";
import type { Broker } from "./broker.ts";

/** Far more than kube-apiserver has: what is looked for is a refusal, and not how fast a busy machine's emulators are. */
const PATIENCE_MS = 15_000;

/** A node that asks a broker itself, so that no cache stands between it and the clouds. */
export class BrokerCaller {
  readonly #node: NodeIdentity;
  readonly #audience: string;
  readonly #path: string;

  constructor(node: NodeIdentity, audience: string, kek: string) {
    this.#node = node;
    this.#audience = audience;
    this.#path = `/v1/keks/${kek}`;
  }

  /** Throws with the broker's answer unless it has one. */
  async status({ url }: Broker): Promise<KekStatus> {
    const { status, json, text } = await call(
      { url, audience: this.#audience },
      this.#node,
      "GET",
      this.#path,
    );
    if (status !== 200) throw new Error(`the status of the KEK answered ${status}: ${text}`);
    return KekStatus.parse(json);
  }

  /** Throws with the broker's answer if it is refused. */
  async wrap({ url }: Broker): Promise<WrapResponse> {
    const body = { plaintext: randomBytes(32).toString("base64") };
    const target = { url, audience: this.#audience };
    const { status, json, text } = await call(target, this.#node, "POST", `${this.#path}/wrap`, body);
    if (status !== 200) throw new Error(`a wrap answered ${status}: ${text}`);
    return WrapResponse.parse(json);
  }

  /**
   * Asks one broker for what an apiserver has stored as `encryptedDEKSource`, and again as long as it says that this
   * may help, as a shim does. Throws with the broker's answer if it is refused.
   * @returns how often it was asked again
   */
  async unwrap({ url }: Broker, ciphertext: Uint8Array): Promise<number> {
    const body = { ciphertext: Buffer.from(ciphertext).toString("base64") };
    const target = { url, audience: this.#audience };
    const deadline = performance.now() + PATIENCE_MS;
    for (let again = 0; ; again++) {
      const { status, json, text } = await call(target, this.#node, "POST", `${this.#path}/unwrap`, body);
      if (status === 200) return again;
      if (json["retryable"] !== true || performance.now() > deadline) {
        throw new Error(`an unwrap answered ${status}: ${text}`);
      }
    }
  }
}
