import { LineCounter, parseDocument as parseYaml } from "yaml";
import type * as z from "zod";

/** One mistake in a configuration file. Never holds a value from the file: it may be a key. */
export interface Issue {
  /** Where, as `keks.prod-secrets.members.aws`; empty for the whole document. */
  readonly path: string;
  /** 1-based; absent where the text has no such place. */
  readonly line?: number;
  readonly message: string;
}

/** A configuration file that cannot be used, with every mistake in it. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
  readonly issues: readonly Issue[];

  constructor(issues: readonly Issue[]) {
    super(issues.map(formatIssue).join("\n"));
    this.issues = issues;
  }
}

function formatIssue({ path, line, message }: Issue): string {
  const place = [path, line === undefined ? "" : `line ${line}`].filter(Boolean).join(", ");
  return place === "" ? message : `${place}: ${message}`;
}

/** Larger than any real configuration; a YAML reader should not be handed more. */
const MAX_TEXT_LENGTH = 1_048_576;

/**
 * Reads YAML (JSON is YAML) and parses it with a schema.
 * @throws DocumentError naming all mistakes at once.
 */
export function parseDocument<Schema extends z.ZodType>(text: string, schema: Schema): z.output<Schema> {
  if (text.length > MAX_TEXT_LENGTH) {
    throw new DocumentError([{ path: "", message: `the file is larger than ${MAX_TEXT_LENGTH} characters` }]);
  }
  const lines = new LineCounter();
  const document = parseYaml(text, { lineCounter: lines, uniqueKeys: true, prettyErrors: false });
  if (document.errors.length > 0) {
    // The reader's own messages can quote the text, so only its code and place are told.
    throw new DocumentError(
      document.errors.map((error) => ({
        path: "",
        line: lines.linePos(error.pos[0]).line,
        message: `not valid YAML (${error.code})`,
      })),
    );
  }
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 32 });
  } catch {
    throw new DocumentError([{ path: "", message: "the YAML uses too many aliases" }]);
  }
  const lineOf = (path: readonly PropertyKey[]): number | undefined => {
    for (let depth = path.length; depth > 0; depth--) {
      const node = document.getIn(path.slice(0, depth), true);
      const range = typeof node === "object" && node !== null && "range" in node ? node.range : undefined;
      if (Array.isArray(range) && typeof range[0] === "number") return lines.linePos(range[0]).line;
    }
    return undefined;
  };
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  throw new DocumentError(
    result.error.issues.map((issue) => {
      const line = lineOf(issue.path);
      return {
        path: issue.path.map(String).join("."),
        ...(line === undefined ? {} : { line }),
        message: issue.message,
      };
    }),
  );
}
