import { once } from "node:events";
import { open, type FileHandle } from "node:fs/promises";
import type { Writable } from "node:stream";

/** Appends lines, in order; a line's promise settles when the system has taken it. */
export interface LineWriter {
  write(line: string): Promise<void>;
  /** Opens the file of that name again, after it was moved away by a log rotation. */
  reopen(): Promise<void>;
  close(): Promise<void>;
}

/** Lines that may wait for a disk that hangs, about 5 MB: who comes then is refused at once. */
const MAX_WAITING = 10_000;

interface Waiting {
  readonly line: string;
  readonly resolve: () => void;
  readonly reject: (cause: unknown) => void;
}

/**
 * Appends to a file, made with mode 0600. Lines that wait while one write is under way go together in the next. Not
 * synced to the disk: a crash of the machine, not of the process, can lose the last lines.
 */
export async function openLineFile(path: string): Promise<LineWriter> {
  const openFile = async (): Promise<LineQueue> => new LineQueue(await open(path, "a", 0o600));
  let current = await openFile();
  return {
    write: (line) => current.write(line),
    reopen: async () => {
      const previous = current;
      current = await openFile();
      // Not waited for: a file that hangs must not keep lines from the new one.
      void previous.close().catch(() => {});
    },
    close: () => current.close(),
  };
}

/** One open file and the lines on their way into it. */
class LineQueue {
  readonly #file: FileHandle;
  #waiting: Waiting[] = [];
  #draining: Promise<void> | undefined;
  // A write that failed half way (a full disk) leaves a torn line, which must not swallow the next.
  #torn = false;

  constructor(file: FileHandle) {
    this.#file = file;
  }

  write(line: string): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING)
      return Promise.reject(new Error("too many lines wait for the disk"));
    return new Promise((resolve, reject) => {
      this.#waiting.push({ line, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  async close(): Promise<void> {
    await this.#draining;
    await this.#file.close();
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting;
      this.#waiting = [];
      const text = batch.map(({ line }) => `${line}\n`).join("");
      try {
        await this.#file.appendFile(this.#torn ? `\n${text}` : text);
        this.#torn = false;
        for (const { resolve } of batch) resolve();
      } catch (cause) {
        this.#torn = true;
        for (const { reject } of batch) reject(cause);
      }
    }
    this.#draining = undefined;
  }
}

/** Writes to a stream such as standard output, which others write whole lines to as well. */
export function streamLineWriter(stream: Writable): LineWriter {
  return {
    write: (line) =>
      new Promise((resolve, reject) => {
        stream.write(`${line}\n`, (cause) => (cause == null ? resolve() : reject(cause)));
      }),
    reopen: () => Promise.resolve(),
    close: async () => {
      if (stream.writableNeedDrain) await once(stream, "drain");
    },
  };
}
