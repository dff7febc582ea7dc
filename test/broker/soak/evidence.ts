import * as z from "zod";

import type { RawAnswer } from "../../../src/shim/transport.ts";

/** A broker remembers a reading so long: two statuses within it may be one. */
const READING_LASTS_MS = 30_000;
const WithKeyId = z.object({ keyId: z.string().nullable() });

/** What one shim has heard of key ids, and whether that allowed it to take another. */
export class Evidence {
  readonly #now: () => number;
  /** Of the newest statuses, those with one id. */
  #readings: { readonly keyId: string; readonly since: number; last: number } | undefined;
  #wrapped: string | undefined;

  constructor(now: () => number) {
    this.#now = now;
  }

  heard(path: string, { status, body }: RawAnswer): void {
    if (status !== 200 || path.endsWith("/unwrap")) return;
    const { keyId } = WithKeyId.parse(JSON.parse(body.toString("utf8")));
    if (keyId === null) return;
    const now = this.#now();
    if (path.endsWith("/wrap")) this.#wrapped = keyId;
    else if (this.#readings?.keyId === keyId) this.#readings.last = now;
    else this.#readings = { keyId, since: now, last: now };
  }

  /** Why this id may not be taken: two readings in a row, and the newest wrap, must have been of it. */
  against(keyId: string | undefined): Error | undefined {
    const { since = 0, last = 0, keyId: read } = this.#readings ?? {};
    if (read === keyId && this.#wrapped === keyId && last - since >= READING_LASTS_MS) return undefined;
    return new Error(
      `took ${keyId}, though ${read} was read for ${last - since} ms, and ${this.#wrapped} wrapped`,
    );
  }
}
