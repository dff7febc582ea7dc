import { createReadStream } from "node:fs";

import { DocumentError, MAX_DOCUMENT_LENGTH } from "../wire/document.ts";

/**
 * Reads a configuration file, and never more of it than a configuration can be: a wrong path may be a device or a
 * database.
 * @throws DocumentError when it is larger or not UTF-8; the system's error when it cannot be read.
 */
export async function readConfigFile(path: string): Promise<string> {
  // `end` is inclusive: one byte more than is allowed, to see that there is one.
  return readConfigStream(createReadStream(path, { end: MAX_DOCUMENT_LENGTH }));
}

/** The same for an open stream, as standard input. */
export async function readConfigStream(stream: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    chunks.push(chunk);
    size += chunk.length;
    if (size > MAX_DOCUMENT_LENGTH) {
      throw new DocumentError([
        { path: "", message: `the file is larger than ${MAX_DOCUMENT_LENGTH} bytes` },
      ]);
    }
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(chunks));
  } catch {
    throw new DocumentError([{ path: "", message: "the file is not UTF-8 text" }]);
  }
}
