import { compareConfigs } from "../config/compare.ts";
import type { CheckOptions } from "../config/cross-check.ts";
import { configDigest } from "../config/digest.ts";
import { readConfigFile, readConfigStream } from "../config/load.ts";
import { parseBrokerConfig } from "../config/parse.ts";
import type { BrokerConfig } from "../config/schema.ts";
import { DocumentError } from "../wire/document.ts";
import { formatIssue, type Issue } from "../wire/issue.ts";
import { CommandError, EXIT, type ExitCode, type Terminal } from "./terminal.ts";

/** 5 KB for each variable or secret (developers.cloudflare.com/workers/platform/limits). */
const MAX_WORKER_SECRET = 5 * 1024;

export interface ConfigCheck {
  /** One file, or the one in use and the one that replaces it. */
  readonly files: readonly [string] | readonly [string, string];
  readonly json?: true | undefined;
  readonly runtime: "node" | "worker" | "lambda";
}

interface Result {
  /** Absent when the file has mistakes. */
  readonly config?: BrokerConfig;
  readonly issues: readonly FileIssue[];
}

type FileIssue = Issue & { readonly file: string };

/** Checks one configuration, or the change from one to the next. */
export async function checkConfig(
  { files, json, runtime }: ConfigCheck,
  terminal: Terminal,
): Promise<ExitCode> {
  if (files[0] === "-" && files[1] === "-")
    throw new CommandError("standard input can be only one of the files");
  // Whether the Worker has AWS keys among its secrets cannot be told from here.
  const worker = runtime === "worker" ? { awsKeys: true } : undefined;
  const options = { allowDevelopmentKeys: false, listens: runtime === "node", worker };
  const results: Result[] = [];
  for (const file of files) results.push(check(file, await read(file, terminal), options));
  const issues = [...results.flatMap((result) => result.issues), ...compare(files, results)];
  const last = results.at(-1)?.config;
  terminal.out(json === true ? await asJson(issues, last) : await asText(issues, files.at(-1) ?? "", last));
  return issues.length === 0 ? EXIT.ok : EXIT.problems;
}

/** What could be read; a text that cannot be one is a mistake in it, a file that is not there is not. */
async function read(file: string, { stdin }: Terminal): Promise<string | DocumentError> {
  try {
    return await (file === "-" ? readConfigStream(stdin) : readConfigFile(file));
  } catch (error) {
    if (error instanceof DocumentError) return error;
    throw new CommandError(`${file} cannot be read (${codeOf(error)})`, { cause: error });
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}

function check(file: string, text: string | DocumentError, options: CheckOptions): Result {
  try {
    if (text instanceof DocumentError) throw text;
    const config = parseBrokerConfig(text, options);
    return { config, issues: options.worker === undefined ? [] : checkSecret(file, text) };
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return { issues: error.issues.map((issue) => ({ file, ...issue })) };
  }
}

/** On Workers the very text is a secret. */
function checkSecret(file: string, text: string): FileIssue[] {
  const size = new TextEncoder().encode(text).length;
  if (size <= MAX_WORKER_SECRET) return [];
  const message = `is ${size} bytes, and a Worker's secret holds ${MAX_WORKER_SECRET}: register issuers rather than nodes, or give some clusters a Worker of their own`;
  return [{ file, path: "", message }];
}

function compare(files: readonly string[], [old, next]: readonly Result[]): FileIssue[] {
  if (old?.config === undefined || next?.config === undefined) return [];
  const file = files[1] ?? "";
  return compareConfigs(old.config, next.config).map((issue) => ({ file, ...issue }));
}

async function asJson(issues: readonly FileIssue[], config: BrokerConfig | undefined): Promise<string> {
  const ok = issues.length === 0;
  const digest = ok && config !== undefined ? { digest: await configDigest(config) } : {};
  return `${JSON.stringify({ ok, ...digest, issues }, null, 2)}\n`;
}

async function asText(
  issues: readonly FileIssue[],
  file: string,
  config: BrokerConfig | undefined,
): Promise<string> {
  if (issues.length > 0) {
    const lines = issues.map(({ file, ...issue }) => `${file}: ${formatIssue(issue)}\n`);
    return `${lines.join("")}${plural(issues.length, "mistake")}\n`;
  }
  if (config === undefined) return "";
  const keks = plural(Object.keys(config.keks).length, "KEK");
  const clusters = plural(Object.keys(config.clusters).length, "cluster");
  return `${file}: ok, ${keks}, ${clusters}\ndigest ${await configDigest(config)}\n`;
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`;
}
