import { DocumentError, readDocument } from "../wire/document.ts";
import { parseShape, type ShapeIssue } from "../wire/issue.ts";
import { type CheckOptions, crossCheck, type KnownNames } from "./cross-check.ts";
import { BrokerConfig } from "./schema.ts";

/**
 * Parses and checks a broker's configuration, YAML or JSON.
 * @throws DocumentError with every mistake, each with its path, and no value of the text.
 */
export function parseBrokerConfig(text: string, options: CheckOptions): BrokerConfig {
  const source = readDocument(text);
  const shape = parseShape(BrokerConfig, source.value);
  const broken = shape.ok ? [] : shape.issues;
  const usable = shape.ok ? shape.data : salvage(source.value, broken);
  const crossed = usable === undefined ? [] : crossCheck(usable, namesIn(source.value), options);
  if (shape.ok && crossed.length === 0) return shape.data;
  throw new DocumentError([...broken, ...crossed].map(({ path, message }) => source.issueAt(path, message)));
}

/** In place of fields that are broken: values that no check has anything to say about. */
const STAND_INS: Readonly<Record<string, unknown>> = {
  audience: "https://kek.invalid",
  listen: "127.0.0.1:0",
  private: "127.0.0.1:0",
  tls: { certFile: "-", keyFile: "-" },
  allowDevelopmentKeys: true,
};

/**
 * The configuration without the fields, KEKs and clusters that are broken, so that what spans the others is told in
 * the same run.
 */
function salvage(value: unknown, broken: readonly ShapeIssue[]): BrokerConfig | undefined {
  if (!isMap(value)) return undefined;
  const kept: Record<string, unknown> = { ...value };
  for (const { path } of broken) {
    const [field, name] = path.map(String);
    if (field === undefined) return undefined;
    const entries = kept[field];
    const isEntry = (field === "keks" || field === "clusters") && name !== undefined;
    kept[field] = isEntry && isMap(entries) ? without(entries, name) : STAND_INS[field];
  }
  const shape = parseShape(BrokerConfig, dropAbsent(kept));
  return shape.ok ? shape.data : undefined;
}

function dropAbsent(map: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).filter(([, value]) => value !== undefined));
}

function namesIn(value: unknown): KnownNames {
  const keks = namesOf(fieldOf(value, "keks"));
  const identity = fieldOf(value, "identity") !== undefined;
  const clusters = fieldOf(value, "clusters");
  if (clusters !== undefined && !isMap(clusters)) return { keks, identity, clusters: undefined };
  const nodes = Object.entries(clusters ?? {}).map(
    ([name, cluster]) => [name, isMap(cluster) ? namesOf(fieldOf(cluster, "nodes")) : undefined] as const,
  );
  return { keks, identity, clusters: new Map(nodes) };
}

/** None if the map is left out, unknown if something else is in its place. */
function namesOf(map: unknown): ReadonlySet<string> | undefined {
  if (map === undefined) return new Set();
  return isMap(map) ? new Set(Object.keys(map)) : undefined;
}

function without(map: Record<string, unknown>, name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));
}

function fieldOf(value: unknown, field: string): unknown {
  return isMap(value) && Object.hasOwn(value, field) ? value[field] : undefined;
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
