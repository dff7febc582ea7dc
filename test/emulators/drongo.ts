import { join } from "node:path";

import { freePort } from "../kubernetes/ports.ts";
import type { Sandbox } from "../kubernetes/sandbox.ts";
import { installDrongo } from "./install.mjs";

const READY_WITHIN_MS = 30_000;
const RING = "projects/kek-broker-test/locations/europe-west1/keyRings";

/** drongo (PyPI), a third party's server of Google's REST APIs. It keeps nothing, and stops with the sandbox. */
export async function startDrongo(sandbox: Sandbox): Promise<{ readonly url: string }> {
  const port = await freePort();
  const daemon = await sandbox.run({
    name: "drongo",
    file: join(installDrongo().bin, "drongo"),
    args: ["server", "--host", "127.0.0.1", "--port", String(port)],
  });
  const url = `http://127.0.0.1:${port}`;
  await daemon.until("drongo answers", () => answers(`${url}/v1/${RING}`), { withinMs: READY_WITHIN_MS });
  return { url };
}

async function answers(url: string): Promise<true | undefined> {
  const response = await fetch(url, { signal: AbortSignal.timeout(1000) });
  await response.arrayBuffer();
  return response.ok ? true : undefined;
}

/** Makes symmetric keys, each in a key ring of its own. */
export class DrongoKeys {
  readonly #url: string;
  #made = 0;

  constructor(url: string) {
    this.#url = url;
  }

  /** Returns its resource name. */
  async create(): Promise<string> {
    const ring = `ring-${++this.#made}`;
    await this.#post(`${RING}?keyRingId=${ring}`, {});
    await this.#post(`${RING}/${ring}/cryptoKeys?cryptoKeyId=key`, { purpose: "ENCRYPT_DECRYPT" });
    return `${RING}/${ring}/cryptoKeys/key`;
  }

  async #post(path: string, body: object): Promise<void> {
    const response = await fetch(`${this.#url}/v1/${path}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`drongo: HTTP ${response.status} ${await response.text()}`);
    await response.arrayBuffer();
  }
}
