import type * as z from "zod";

/** One mistake in a document. Never holds a value from it: it may be a key. */
export interface Issue {
  /** Where, as `keks.prod-secrets.members.aws`; empty for the whole document. */
  readonly path: string;
  /** 1-based; absent where the text has no such place. */
  readonly line?: number;
  readonly message: string;
}

/** A mistake found by a schema, before it is placed in a text. */
export interface ShapeIssue {
  readonly path: readonly PropertyKey[];
  readonly message: string;
}

export type Shape<Data> =
  | { readonly ok: true; readonly data: Data }
  | { readonly ok: false; readonly issues: readonly ShapeIssue[] };

/** Parses a value with a schema; the messages say what to write and never what was written. */
export function parseShape<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): Shape<z.output<Schema>> {
  const result = schema.safeParse(value, { error: explain });
  if (result.success) return { ok: true, data: result.data };
  return { ok: false, issues: result.error.issues.flatMap(flatten) };
}

/** As a person reads it. A name that could be a key pasted in the wrong place is not repeated. */
export function formatPath(path: readonly PropertyKey[]): string {
  return path.map((segment) => (isTellable(segment) ? String(segment) : "(name withheld)")).join(".");
}

export function formatIssue({ path, line, message }: Issue): string {
  const place = [path, line === undefined ? "" : `line ${line}`].filter(Boolean).join(", ");
  return place === "" ? message : `${place}: ${message}`;
}

/** Names are at most 40 characters; 32 bytes of key are 43 or more. */
function isTellable(segment: PropertyKey): boolean {
  return typeof segment === "number" || /^[\w.-]{1,40}$/.test(String(segment));
}

function flatten(issue: z.core.$ZodIssue): ShapeIssue[] {
  if (issue.code === "unrecognized_keys") {
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: "is not a field here" }));
  }
  if (issue.code === "invalid_key") {
    return issue.issues.map(({ message }) => ({ path: issue.path, message }));
  }
  return [{ path: issue.path, message: issue.message }];
}

const TYPE_NAMES: Readonly<Record<string, string>> = {
  string: "text (put quotes around it)",
  number: "a number",
  int: "a whole number",
  boolean: "true or false",
  array: "a list",
  object: "fields with values",
  record: "names with values",
};

/** Messages for what a schema itself does not explain; `undefined` leaves zod's own. */
function explain(issue: z.core.$ZodRawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is missing";
      return `must be ${TYPE_NAMES[issue.expected] ?? issue.expected}`;
    case "invalid_value":
      return `must be ${oneOf(issue.values)}`;
    case "invalid_union":
      return "options" in issue && Array.isArray(issue.options)
        ? `must be ${oneOf(issue.options)}`
        : undefined;
    case "too_small":
      return `must ${bound(issue.origin)} ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${unit(issue.origin)}`;
    case "too_big":
      return `must ${bound(issue.origin)} at most ${issue.maximum}${unit(issue.origin)}`;
    case "custom":
    case "invalid_element":
    case "invalid_format":
    case "invalid_key":
    case "not_multiple_of":
    case "unrecognized_keys":
      return undefined;
  }
}

function oneOf(values: readonly unknown[]): string {
  const texts = values.map(String);
  return texts.length === 1 ? texts.join("") : `one of ${texts.join(", ")}`;
}

function bound(origin: string): string {
  return origin === "string" || origin === "array" ? "have" : "be";
}

function unit(origin: string): string {
  if (origin === "string") return " characters";
  return origin === "array" ? " entries" : "";
}
