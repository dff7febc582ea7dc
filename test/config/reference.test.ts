import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

import { brokerConfigJsonSchema } from "../../src/config/json-schema.ts";
import { parseBrokerConfig } from "../../src/config/parse.ts";
import { BrokerConfig } from "../../src/config/schema.ts";
import { parseShimConfig, ShimConfig } from "../../src/shim/config.ts";
import { fieldsOf, tableOf } from "./reference.ts";

const page = fileURLToPath(new URL("../../docs/configuration.md", import.meta.url));
const schemaFile = fileURLToPath(new URL("../../docs/broker-config.schema.json", import.meta.url));

describe("docs/configuration.md", () => {
  it.each([
    ["broker", BrokerConfig],
    ["shim", ShimConfig],
  ])("has every field of the %s's file as the schema has it", (file, schema) => {
    const current = withSection(readFileSync(page, "utf8"), file, tableOf(fieldsOf(schema)));
    expect(committed(page, current)).toBe(current);
  });

  it.each([
    ["broker", BrokerConfig],
    ["shim", ShimConfig],
  ])("describes every field of the %s's file", (_file, schema) => {
    expect(fieldsOf(schema).filter(({ description }) => description === undefined)).toEqual([]);
  });

  it("begins with a broker's file that is right", () => {
    const { keks, clusters } = parseBrokerConfig(example("broker"), {
      allowDevelopmentKeys: false,
      listens: true,
    });
    expect([Object.keys(keks), Object.keys(clusters)]).toEqual([["prod-secrets"], ["prod-eu-1"]]);
  });

  it("has a shim's file that is right and fits the broker's", () => {
    const broker = parseBrokerConfig(example("broker"), { allowDevelopmentKeys: false, listens: true });
    const shim = parseShimConfig(example("shim"));
    expect(broker.audience).toBe(shim.audience);
    expect(broker.keks).toHaveProperty([shim.kek]);
    expect(broker.clusters).toHaveProperty([shim.cluster, "nodes", shim.node ?? ""]);
  });
});

describe("docs/federation.md", () => {
  it("has a broker's file that is right", () => {
    const federation = fileURLToPath(new URL("../../docs/federation.md", import.meta.url));
    const [, yaml = ""] = /```yaml\n(# broker[^]*?)```/.exec(readFileSync(federation, "utf8")) ?? [];
    const config = parseBrokerConfig(yaml, { allowDevelopmentKeys: false, listens: true });
    expect(config.identity).toEqual({ platform: "google" });
  });
});

describe("docs/broker-config.schema.json", () => {
  it("is what kekctl config schema prints", () => {
    const current = `${JSON.stringify(brokerConfigJsonSchema(), null, 2)}\n`;
    expect(committed(schemaFile, current)).toBe(current);
  });
});

/** What is in the file; `UPDATE_DOCS=1 npx vitest run --project unit test/config` writes it first. */
function committed(path: string, current: string): string {
  if (process.env["UPDATE_DOCS"] === "1") writeFileSync(path, current);
  return readFileSync(path, "utf8");
}

/** Puts the table between the page's two marks for it. */
function withSection(text: string, file: string, table: string): string {
  const marks = new RegExp(`(<!-- fields of the ${file}'s file: .*-->\n)[^]*?(\n<!-- end -->)`);
  expect(text).toMatch(marks);
  return text.replace(marks, (_all, begin: string, end: string) => `${begin}\n${table}\n${end}`);
}

/** The page's YAML block for a file, marked by its first line. */
function example(file: string): string {
  const block = new RegExp(`\`\`\`yaml\n(# ${file}\\.yaml[^]*?)\`\`\``).exec(readFileSync(page, "utf8"));
  expect(block).not.toBeNull();
  return block?.[1] ?? "";
}
