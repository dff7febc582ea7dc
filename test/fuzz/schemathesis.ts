import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as z from "zod";

import { installSchemathesis } from "../emulators/install.mjs";

export interface FuzzOptions {
  /** The service, wherever its description is. */
  readonly url: string;
  /** Sent with every case, but where a check leaves it out on purpose. */
  readonly token: string;
  /** Values worth trying, by place: `path.kek`, `body.ciphertext`; and which share of the cases takes one of them. */
  readonly values: Readonly<
    Record<string, { readonly list: readonly (string | number)[]; readonly share: number }>
  >;
  readonly checks: readonly string[];
  readonly seed: number;
  /** Cases for each operation, beside those that the description itself calls for. */
  readonly maxExamples: number;
  /** A run that takes longer is ended and fails. */
  readonly timeLimitMs: number;
}

const REFUSALS = [400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429];

const Rates = z.record(
  z.string(),
  z.looseObject({ accepted: z.int(), rejected: z.int(), unreachable: z.int() }),
);

/** As much of schemathesis' own report as is read here. */
const Report = z.looseObject({
  exit_code: z.int(),
  complete: z.boolean(),
  operations: z.looseObject({ total: z.int(), tested: z.int() }),
  test_cases: z.looseObject({ generated: z.int(), unique_failures: z.int(), errored: z.int() }),
  failures: z.array(z.looseObject({ type: z.string(), operations: z.array(z.string()) })),
  /** Answers to cases that fit the description, by operation (`POST /path`) and phase. */
  valid_rates: z.record(z.string(), Rates),
});

export interface FuzzReport {
  readonly report: z.infer<typeof Report>;
  /** What it printed: each finding with the request that shows it. */
  readonly output: string;
}

/**
 * Runs schemathesis on a service's own description of itself, and resolves whatever it finds.
 * @throws Error when it could not run to its end.
 */
export async function fuzz(schemaUrl: string, options: FuzzOptions): Promise<FuzzReport> {
  const folder = await mkdtemp(join(tmpdir(), "kek-fuzz-"));
  try {
    const config = join(folder, "schemathesis.toml");
    await writeFile(config, configuration(options.values));
    const file = join(folder, "report.json");
    const output = await run(
      ["--config-file", config, "run", schemaUrl, ...flags(options, file)],
      folder,
      options.timeLimitMs,
    );
    return { report: Report.parse(JSON.parse(await readFile(file, "utf8"))), output };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The successes among cases that fit the description. */
export function acceptedBy({ report }: FuzzReport, operation: string): number {
  return Object.values(report.valid_rates[operation] ?? {}).reduce((sum, { accepted }) => sum + accepted, 0);
}

/** TOML, whose strings and arrays are JSON's for what is put in here. */
function configuration(values: FuzzOptions["values"]): string {
  const places = Object.entries(values);
  return [
    "[generation]",
    "# Headers that nobody asked for are no mistake in HTTP.",
    "allow-extra-parameters = false",
    "[checks.not_a_server_error]",
    "# 503 too is an answer, to a caller without time: which ones there were is the test's to ask.",
    'expected-statuses = ["2xx", "3xx", "4xx", 503]',
    "[checks.negative_data_rejection]",
    "# The default and 413.",
    `expected-statuses = ${JSON.stringify(REFUSALS.map(String))}`,
    ...places.flatMap(([, { list }], index) => [
      `[dictionaries.d${index}]`,
      `values = ${JSON.stringify(list)}`,
    ]),
    "[parameters]",
    ...places.map(
      ([place, { share }], index) => `"${place}" = { dictionary = "d${index}", probability = ${share} }`,
    ),
    "",
  ].join("\n");
}

function flags({ url, token, checks, seed, maxExamples }: FuzzOptions, report: string): string[] {
  const values = {
    url,
    header: `Authorization: Bearer ${token}`,
    checks: checks.join(","),
    phases: "examples,coverage,fuzzing,stateful",
    "max-examples": maxExamples,
    seed,
    workers: 1,
    "generation-database": "none",
    "request-timeout": 10,
    report: "json",
    "report-json-path": report,
  };
  const pairs = Object.entries(values).flatMap(([name, value]) => [`--${name}`, String(value)]);
  return [...pairs, "--continue-on-failure", "--no-color"];
}

function run(args: readonly string[], folder: string, timeLimitMs: number): Promise<string> {
  const program = join(installSchemathesis().bin, "schemathesis");
  const child = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => void (output += text));
  }
  return new Promise((resolve, reject) => {
    const limit = setTimeout(() => child.kill("SIGKILL"), timeLimitMs);
    child.once("error", reject);
    child.once("close", (code, signal) => {
      clearTimeout(limit);
      // 1 is for findings.
      if (code === 0 || code === 1) resolve(output);
      else reject(new Error(`schemathesis ended with ${signal ?? code}:\n${output}`));
    });
  });
}
