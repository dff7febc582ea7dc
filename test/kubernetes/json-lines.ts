import { existsSync, readFileSync } from "node:fs";

import type * as z from "zod";

/** The lines of a file that are JSON objects of this shape, oldest first; other lines and a missing file are nothing. */
export function readJsonLines<T>(file: string, shape: z.ZodType<T>): T[] {
  if (!existsSync(file)) return [];
  return readFileSync(file, "utf8")
    .split("\n")
    .flatMap((line) => {
      if (!line.startsWith("{") || !line.endsWith("}")) return [];
      const parsed = shape.safeParse(JSON.parse(line));
      return parsed.success ? [parsed.data] : [];
    });
}
