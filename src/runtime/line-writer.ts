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
  const openFile = (): Promise<FileHandle> => open(path, "a", 0o600);
  let file = await openFile();
  let waiting: Waiting[] = [];
  let draining: Promise<void> | undefined;
  // A write that failed half way (a full disk) leaves a torn line, which must not swallow the next.
  let torn = false;

  const drain = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      try {
        await file.appendFile(`${torn ? "\n" : ""}${batch.map(({ line }) => `${line}\n`).join("")}`);
        torn = false;
        for (const { resolve } of batch) resolve();
      } catch (cause) {
        torn = true;
        for (const { reject } of batch) reject(cause);
      }
    }
    draining = undefined;
  };

  return {
    write: (line) =>
      new Promise((resolve, reject) => {
        waiting.push({ line, resolve, reject });
        draining ??= drain();
      }),
    reopen: async () => {
      const next = await openFile();
      const previous = file;
      file = next;
      await draining;
      await previous.close();
    },
    close: async () => {
      await draining;
      await file.close();
    },
  };
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
