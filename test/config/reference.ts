import * as z from "zod";

import { Duration } from "../../src/wire/duration.ts";
import { NAME_PATTERN } from "../../src/wire/name.ts";

/** One row of the reference: a field of a configuration file. */
export interface Field {
  /** As `keks.NAME.members.NAME.awsKms.keyArn`; a list's entries are `[]`. */
  readonly path: string;
  readonly type: string;
  readonly default: string;
  readonly description: string | undefined;
}

type Schema = z.core.JSONSchema.JSONSchema;

const durationPattern = z.toJSONSchema(Duration, { io: "input" }).pattern;

/** Every field of a file, in the schema's order. A schema with a title is told by it, not by its parts. */
export function fieldsOf(schema: z.ZodType): Field[] {
  return fieldsBelow(z.toJSONSchema(schema, { target: "draft-2020-12", io: "input" }), "");
}

/** The fields as a Markdown table. */
export function tableOf(fields: readonly Field[]): string {
  const rows = fields.map(({ path, type, default: value, description }) =>
    [`\`${path}\``, type, value, description ?? ""].map((cell) => cell.replaceAll("|", "\\|")).join(" | "),
  );
  return [
    "| field | type | default | |",
    "| --- | --- | --- | --- |",
    ...rows.map((row) => `| ${row} |`),
  ].join("\n");
}

function fieldsBelow(schema: Schema, path: string): Field[] {
  const fields = Object.entries(schema.properties ?? {}).flatMap(([name, field]) => {
    const place = path === "" ? name : `${path}.${name}`;
    const required = schema.required?.includes(name) === true;
    return isSchema(field) ? [fieldAt(field, place, required), ...within(field, place)] : [];
  });
  const { additionalProperties: named } = schema;
  return [...fields, ...(isSchema(named) ? within(named, `${path}.NAME`) : [])];
}

function within(schema: Schema, path: string): Field[] {
  if (schema.title !== undefined) return [];
  const { items } = schema;
  return [
    ...fieldsBelow(schema, path),
    ...(isSchema(items) ? within(items, `${path}[]`) : []),
    ...alternativesOf(schema).flatMap((alternative) => within(alternative, path).map(optional)),
  ];
}

/** Required only with its alternative. */
function optional(field: Field): Field {
  return field.default === "required" ? { ...field, default: "" } : field;
}

function fieldAt(schema: Schema, path: string, required: boolean): Field {
  return {
    path,
    type: typeOf(schema),
    default: defaultOf(schema, required),
    description: schema.description,
  };
}

function alternativesOf({ anyOf = [], oneOf = [] }: Schema): Schema[] {
  // A `oneOf` of `required` alone says which fields go together; their own rows are there already.
  return [...anyOf, ...oneOf]
    .filter(isSchema)
    .filter(({ type, format, const: only }) => (type ?? format ?? only) !== undefined);
}

function defaultOf(schema: Schema, required: boolean): string {
  if (required) return "required";
  const value = schema.default;
  if (value === undefined || isEmpty(value)) return "";
  return `\`${typeof value === "string" ? value : JSON.stringify(value)}\``;
}

function typeOf(schema: Schema): string {
  if (schema.title !== undefined) return schema.title;
  if (schema.const !== undefined) return `\`${String(schema.const)}\``;
  if (schema.enum !== undefined) return schema.enum.map((value) => `\`${String(value)}\``).join(", ");
  const alternatives = alternativesOf(schema);
  if (alternatives.length > 0) return [...new Set(alternatives.map(typeOf))].join(" or ");
  if (isSchema(schema.items)) return `list of ${typeOf(schema.items)}`;
  if (schema.type === "string") return textTypeOf(schema);
  if (schema.type === "integer") return `whole number${rangeOf(schema)}`;
  if (schema.type === "object") return isSchema(schema.additionalProperties) ? "names with values" : "fields";
  return schema.type === "boolean" ? "true or false" : String(schema.type);
}

function textTypeOf({ pattern, format }: Schema): string {
  if (pattern === durationPattern) return "duration";
  if (pattern === NAME_PATTERN.source) return "name";
  return FORMATS[format ?? ""] ?? format ?? "text";
}

const FORMATS: Readonly<Record<string, string>> = {
  uri: "URL",
  ipv4: "IPv4 address",
  ipv6: "IPv6 address",
};

function rangeOf({ minimum, maximum }: Schema): string {
  return minimum === undefined || maximum === undefined ? "" : `, ${minimum} to ${maximum}`;
}

function isSchema(value: unknown): value is Schema {
  return isObject(value);
}

function isEmpty(value: unknown): boolean {
  return typeof value === "object" && value !== null && Object.keys(value).length === 0;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
