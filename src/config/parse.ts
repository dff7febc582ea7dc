import { DocumentError, readDocument } from "../wire/document.ts";
import { parseShape, type ShapeIssue } from "../wire/issue.ts";
import { type CheckOptions, crossCheck, type KnownNames } from "./cross-check.ts";
import { BrokerConfig } from "./schema.ts";

/** What the place where the broker runs adds to its configuration. */
export type ParseOptions = CheckOptions;

/**
 * Parses and checks a broker's configuration, YAML or JSON.
 * @throws DocumentError with every mistake, each with its path, and no value of the text.
 */
export function parseBrokerConfig(text: string, options: ParseOptions): BrokerConfig {
  const source = readDocument(text);
  const shape = parseShape(BrokerConfig, source.value);
  const broken = shape.ok ? [] : shape.issues;
  const usable = shape.ok ? shape.data : salvage(source.value, broken);
  const crossed = usable === undefined ? [] : crossCheck(usable, namesIn(source.value), options);
  if (shape.ok && crossed.length === 0) return shape.data;
  const issues = [...broken, ...crossed].map(({ path, message }) => source.issueAt(path, message));
  throw new DocumentError(issues.sort((one, other) => (one.line ?? 0) - (other.line ?? 0)));
}

/**
 * The configuration without the fields, KEKs and clusters that are broken, so that what spans the others is told in
 * the same run.
 */
function salvage(value: unknown, broken: readonly ShapeIssue[]): BrokerConfig | undefined {
  if (!isMap(value)) return undefined;
  // An audience is needed for the shape; no check that spans fields looks at it.
  const kept: Record<string, unknown> = { ...value, audience: "https://kek.invalid" };
  for (const { path } of broken) {
    const [field, name] = path.map(String);
    if (field === undefined) return undefined;
    const entries = kept[field];
    if ((field === "keks" || field === "clusters") && name !== undefined && isMap(entries)) {
      kept[field] = without(entries, name);
    } else if (field !== "audience") {
      delete kept[field];
    }
  }
  const shape = parseShape(BrokerConfig, kept);
  return shape.ok ? shape.data : undefined;
}

function namesIn(value: unknown): KnownNames {
  const clusters = entriesOf(fieldOf(value, "clusters"));
  return {
    keks: new Set(entriesOf(fieldOf(value, "keks")).map(([name]) => name)),
    clusters: new Map(
      clusters.map(([name, cluster]) => [
        name,
        new Set(entriesOf(fieldOf(cluster, "nodes")).map(([node]) => node)),
      ]),
    ),
  };
}

function without(map: Record<string, unknown>, name: string): Record<string, unknown> {
  return Object.fromEntries(Object.entries(map).filter(([key]) => key !== name));
}

function fieldOf(value: unknown, field: string): unknown {
  return isMap(value) && Object.hasOwn(value, field) ? value[field] : undefined;
}

function entriesOf(value: unknown): [string, unknown][] {
  return isMap(value) ? Object.entries(value) : [];
}

function isMap(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
