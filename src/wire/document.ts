import { type Document, isAlias, isCollection, isMap, isNode, isScalar, isSeq, LineCounter } from "yaml";
import { parseDocument as parseYaml } from "yaml";
import type * as z from "zod";

import { formatIssue, formatPath, type Issue, parseShape } from "./issue.ts";

export type { Issue } from "./issue.ts";

/** A configuration file that cannot be used, with every mistake in it. */
export class DocumentError extends Error {
  override readonly name = "DocumentError";
  /** In the order of the text. */
  readonly issues: readonly Issue[];

  constructor(found: readonly Issue[]) {
    const issues = [...found].sort((one, other) => (one.line ?? 0) - (other.line ?? 0));
    super(issues.map(formatIssue).join("\n"));
    this.issues = issues;
  }
}

/** A text that is well-formed, and where in it each value stands. */
export interface SourceDocument {
  readonly value: unknown;
  /** Places a mistake; a path the text does not have is placed at its nearest ancestor. */
  issueAt(path: readonly PropertyKey[], message: string): Issue;
}

/** Larger than any real configuration; a YAML reader should not be handed more. */
export const MAX_DOCUMENT_LENGTH = 1_048_576;
const MAX_ALIASES = 32;
const MAX_FLOW_DEPTH = 64;
/** An indentation of more columns, or of more indicators in one line, would nest as deep. */
const TOO_INDENTED = /^[ \t?:-]{257}/m;

/**
 * Reads YAML (JSON is YAML) and parses it with a schema.
 * @throws DocumentError naming all mistakes at once.
 */
export function parseDocument<Schema extends z.ZodType>(text: string, schema: Schema): z.output<Schema> {
  const source = readDocument(text);
  const shape = parseShape(schema, source.value);
  if (shape.ok) return shape.data;
  throw new DocumentError(shape.issues.map(({ path, message }) => source.issueAt(path, message)));
}

/**
 * Reads YAML into plain values.
 * @throws DocumentError when the text is too large, too deep or not well-formed.
 */
export function readDocument(text: string): SourceDocument {
  if (text.length > MAX_DOCUMENT_LENGTH) fail(`the file is larger than ${MAX_DOCUMENT_LENGTH} characters`);
  if (nestsTooDeep(text)) fail("the YAML nests too deep");
  const lines = new LineCounter();
  const document = parseYaml(text, {
    lineCounter: lines,
    uniqueKeys: true,
    stringKeys: true,
    prettyErrors: false,
    // "silent" would read the first of several documents and drop the others without a word.
    logLevel: "error",
  });
  const mistakes = [...document.errors, ...document.warnings];
  if (mistakes.length > 0) {
    throw new DocumentError(
      mistakes.map(({ code, pos }) => ({
        path: "",
        line: lines.linePos(pos[0]).line,
        message: explain(code),
      })),
    );
  }
  const issueAt = (path: readonly PropertyKey[], message: string): Issue => {
    const offset = offsetOf(document, path);
    const place = offset === undefined ? {} : { line: lines.linePos(offset).line };
    return { path: formatPath(path), ...place, message };
  };
  // Not a name anywhere, and schemas of maps pass over it in silence.
  const reserved = pathsOf(document.contents, "__proto__");
  if (reserved.length > 0) throw new DocumentError(reserved.map((path) => issueAt(path, "is not a name")));
  return { value: plainValue(document), issueAt };
}

function fail(message: string): never {
  throw new DocumentError([{ path: "", message }]);
}

/** The reader recurses, and a stack that ends inside a regular expression ends the process: bounded before it reads. */
function nestsTooDeep(text: string): boolean {
  let depth = 0;
  for (const character of text) {
    if (character === "[" || character === "{") depth += 1;
    else if (character === "]" || character === "}") depth = Math.max(0, depth - 1);
    if (depth > MAX_FLOW_DEPTH) return true;
  }
  return TOO_INDENTED.test(text);
}

function plainValue(document: Document.Parsed): unknown {
  try {
    return document.toJS({ maxAliasCount: MAX_ALIASES });
  } catch {
    return fail("the YAML uses too many aliases, or one before its anchor");
  }
}

/** The reader's own messages can quote the text, so only its code is told. */
function explain(code: string): string {
  switch (code) {
    case "DUPLICATE_KEY":
      return "the same name twice";
    case "MULTIPLE_DOCS":
      return "more than one document: remove the --- between them";
    case "NON_STRING_KEY":
      return "a name that is not text: put it in quotes";
    case "TAB_AS_INDENT":
      return "a tab in the indentation: use spaces";
    case "TAG_RESOLVE_FAILED":
      return "a tag (!) that has no meaning here";
    default:
      return `not valid YAML (${code})`;
  }
}

/** Where the last step of the path that exists begins: a name's own place, not its value's. */
function offsetOf(document: Document.Parsed, path: readonly PropertyKey[]): number | undefined {
  let node: unknown = document.contents;
  let offset: number | undefined;
  for (const segment of path) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => isScalar(key) && key.value === segment);
      if (pair === undefined) return offset;
      offset = startOf(pair.key) ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(segment)];
      offset = startOf(node) ?? offset;
    } else {
      return offset;
    }
  }
  return offset;
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

/** Every place where a map has this name. */
function pathsOf(node: unknown, name: string, path: readonly PropertyKey[] = []): PropertyKey[][] {
  if (!isCollection(node)) return [];
  if (isSeq(node)) return node.items.flatMap((item, index) => pathsOf(item, name, [...path, index]));
  if (!isMap(node)) return [];
  return node.items.flatMap(({ key, value }) => {
    const here = [...path, isScalar(key) ? String(key.value) : ""];
    const below = pathsOf(value, name, here);
    return here.at(-1) === name ? [here, ...below] : below;
  });
}
