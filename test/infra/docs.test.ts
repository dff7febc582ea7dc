import { describe, expect, it } from "vitest";
import { parseAllDocuments } from "yaml";

import { COUNTERS, GAUGES, HISTOGRAMS } from "../../src/broker/metrics.ts";
import { parseBrokerConfig } from "../../src/config/parse.ts";
import { parseShimConfig } from "../../src/shim/config.ts";
import { ShimMetrics } from "../../src/shim/metrics.ts";
import { isRetryable, PROBLEM_CODES, statusOf } from "../../src/wire/problem.ts";
import { blocksOf, brokenLinksOf, filesIn, tableUnder, textOf } from "./pages.ts";

const pages = [...filesIn("docs", ".md"), "README.md"];
const brokerMetrics = Object.keys({ ...COUNTERS, ...HISTOGRAMS, ...GAUGES });

describe("docs/http-api.md", () => {
  it("has every problem code with its status and whether it is retryable", () => {
    const rows = tableUnder(textOf("docs/http-api.md"), "Problems").map((cells) => cells.slice(0, 3));
    expect(rows).toEqual(
      PROBLEM_CODES.map((code) => [code, String(statusOf(code)), isRetryable(code) ? "yes" : "no"]),
    );
  });
});

describe("examples on the pages for operators and platform teams", () => {
  const examples = ["docs/operator.md", "docs/platform-team.md"].flatMap((path) =>
    blocksOf(textOf(path)).map((block) => ({ path, ...block })),
  );

  it.each(examples.filter(({ language }) => language === "yaml"))(
    "are read by what they are for: $path",
    ({ text }) => {
      expect(() => readAsItSays(text)).not.toThrow();
    },
  );

  it.each(examples.filter(({ language }) => language === "json"))("are JSON: $path", ({ text }) => {
    expect(() => void JSON.parse(text)).not.toThrow();
  });

  it("are there for broker, shim and Kubernetes", () => {
    const readers = examples
      .filter(({ language }) => language === "yaml")
      .map(({ text }) => text.split("\n")[0]);
    expect(new Set(readers)).toEqual(new Set(["# broker", "# shim", "# kubernetes"]));
  });

  it("have the EncryptionConfiguration that infra has", () => {
    const shown = examples.find(({ text }) => text.includes("kind: EncryptionConfiguration"))?.text ?? "";
    expect(documentsOf(shown)).toEqual(documentsOf(textOf("infra/kubernetes/encryption-config.yaml")));
  });
});

describe("metrics", () => {
  it("are on the operator's page, every one of the shim's and none else", async () => {
    expect(metricsOn("docs/operator.md", "kek_shim_")).toEqual(await shimMetrics());
  });

  it("are on the platform team's page, every one of the broker's", () => {
    expect(metricsOn("docs/platform-team.md", "kek_broker_")).toEqual(brokerMetrics.toSorted());
  });

  it.each(pages)("that %s names exist", async (path) => {
    const known = new Set([...brokerMetrics, ...(await shimMetrics())]);
    expect(metricsOn(path, "kek_").filter((name) => !known.has(name))).toEqual([]);
  });

  it("have the labels that the platform team's page says", () => {
    const rows = tableUnder(textOf("docs/platform-team.md"), "Metrics").map(([name, labels]) => [
      name,
      labels,
    ]);
    const definitions = Object.entries({ ...COUNTERS, ...HISTOGRAMS, ...GAUGES });
    expect(Object.fromEntries(rows)).toEqual(
      Object.fromEntries(definitions.map(([name, { labels }]) => [name, labels.join(", ")])),
    );
  });
});

describe("links", () => {
  it.each(pages)("of %s lead somewhere", (path) => {
    expect(brokenLinksOf(path)).toEqual([]);
  });
});

/** The first line of an example says whose it is. */
function readAsItSays(text: string): unknown {
  const [reader = ""] = text.split("\n");
  switch (reader) {
    case "# broker":
      return parseBrokerConfig(text, { allowDevelopmentKeys: false, listens: true });
    case "# shim":
      return parseShimConfig(text);
    case "# kubernetes":
      return documentsOf(text);
    default:
      throw new Error(`begin the example with # broker, # shim or # kubernetes, not with ${reader}`);
  }
}

function documentsOf(text: string): unknown[] {
  return parseAllDocuments(text).map((document) => {
    if (document.errors.length > 0) throw new AggregateError(document.errors);
    return document.toJS();
  });
}

function metricsOn(path: string, prefix: string): string[] {
  const names = textOf(path).match(/\bkek_(?:broker|shim)_[a-z_]+/g) ?? [];
  return [...new Set(names)].filter((name) => name.startsWith(prefix)).toSorted();
}

async function shimMetrics(): Promise<string[]> {
  const text = await new ShimMetrics(() => 0).text();
  const names = [...text.matchAll(/^# TYPE (\S+) /gm)].map(([, name = ""]) => name);
  return names.filter((name) => name.startsWith("kek_shim_")).toSorted();
}
