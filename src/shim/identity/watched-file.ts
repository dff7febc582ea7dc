import { closeSync, fstatSync, openSync, readFileSync, statSync, type Stats } from "node:fs";

import { systemCodeOf } from "../errors.ts";
import type { Log } from "../log.ts";

/** A key or token file is small; more is a mistake. */
const MAX_BYTES = 65_536;

/** Why a file cannot be used: says what to mend, quotes nothing of it. */
export class FileProblem extends Error {
  override readonly name = "FileProblem";
}

/**
 * A small file read again when it changes, by looking at it at each use: that survives the symlink swap of mounted
 * Secrets, where watching loses the file. A change that cannot be used leaves what was there.
 */
export class WatchedFile<Value> {
  readonly #path: string;
  readonly #parse: (text: string, stats: Stats) => Value;
  readonly #log: Log;
  #held: { readonly value: Value; readonly fingerprint: string } | undefined;
  #reported = "";

  /** @param parse throws FileProblem for what it cannot use */
  constructor(path: string, parse: (text: string, stats: Stats) => Value, log: Log) {
    this.#path = path;
    this.#parse = parse;
    this.#log = log;
  }

  /** @throws FileProblem when there is nothing to fall back on. */
  read(): Value {
    const held = this.#held;
    try {
      if (held !== undefined && fingerprintOf(statSync(this.#path)) === held.fingerprint) return held.value;
      const fresh = this.#load();
      this.#held = fresh;
      if (held !== undefined) this.#log("info", "identity reloaded", { file: this.#path });
      this.#reported = "";
      return fresh.value;
    } catch (error) {
      const problem =
        error instanceof FileProblem
          ? error
          : new FileProblem(`${this.#path} cannot be read (${systemCodeOf(error)})`, { cause: error });
      if (held === undefined) throw problem;
      this.#report(problem.message);
      return held.value;
    }
  }

  /** Forgets what it knows of the file, not the value. */
  recheck(): void {
    if (this.#held !== undefined) this.#held = { value: this.#held.value, fingerprint: "" };
  }

  #load(): { value: Value; fingerprint: string } {
    const descriptor = openSync(this.#path, "r");
    try {
      const stats = fstatSync(descriptor);
      if (!stats.isFile()) throw new FileProblem(`${this.#path} is not a file`);
      if (stats.size > MAX_BYTES) throw new FileProblem(`${this.#path} is larger than ${MAX_BYTES} bytes`);
      const value = this.#parse(readFileSync(descriptor, "utf8"), stats);
      return { value, fingerprint: fingerprintOf(stats) };
    } finally {
      closeSync(descriptor);
    }
  }

  #report(message: string): void {
    if (message === this.#reported) return;
    this.#reported = message;
    this.#log("warn", "identity not reloaded", { file: this.#path, detail: message });
  }
}

function fingerprintOf(stats: Stats): string {
  return [stats.dev, stats.ino, stats.size, stats.mtimeMs, stats.ctimeMs].join(" ");
}
