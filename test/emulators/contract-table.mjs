// Runs the provider contract against every server there is and writes what it showed, case by case, into
// docs/provider-contract.md: `node test/emulators/contract-table.mjs` (after `node scripts/run.mjs provision`).
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const PAGE = "docs/provider-contract.md";
const [BEGIN, END] = ["<!-- table -->", "<!-- /table -->"];
const SUITE = /^(.*), as every provider$/;

const results = runContract();
const suites = [...new Set(results.map(({ suite }) => suite))].sort((a, b) => (a < b ? -1 : 1));
const cases = [...new Set(results.map(({ title }) => title))];
const cell = (title, suite) =>
  results.some((result) => result.title === title && result.suite === suite) ? "✓" : "–";
const rows = [
  ["case", ...suites.map((_, index) => String(index + 1))],
  ["---", ...suites.map(() => ":-:")],
  ...cases.map((title) => [title, ...suites.map((suite) => cell(title, suite))]),
];
const table = [
  ...suites.map((suite, index) => `${index + 1}. ${suite}`),
  "",
  ...rows.map((row) => `| ${row.join(" | ")} |`),
].join("\n");

const page = readFileSync(PAGE, "utf8");
const [before, rest] = page.split(BEGIN);
const after = rest?.split(END)[1];
if (after === undefined) throw new Error(`${PAGE} has no ${BEGIN} … ${END}`);
writeFileSync(PAGE, `${before}${BEGIN}\n\n${table}\n\n${END}${after}`);

/** Every case that passed; a case that fails fails this. */
function runContract() {
  const folder = mkdtempSync(join(tmpdir(), "kek-broker-contract-"));
  const report = join(folder, "report.json");
  try {
    const { status } = spawnSync(
      process.execPath,
      [
        "node_modules/vitest/vitest.mjs",
        "run",
        "contract.test",
        "--project=unit",
        "--project=emulators",
        "--reporter=default",
        "--reporter=json",
        `--outputFile.json=${report}`,
      ],
      { stdio: ["ignore", 2, 2] },
    );
    if (status !== 0) throw new Error("the contract does not hold");
    return JSON.parse(readFileSync(report, "utf8")).testResults.flatMap(({ assertionResults }) =>
      assertionResults.flatMap(({ ancestorTitles: [suite = ""], title, status: result }) => {
        const name = SUITE.exec(suite)?.[1];
        return name === undefined || result !== "passed" ? [] : [{ suite: name, title }];
      }),
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
