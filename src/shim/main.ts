import { Command } from "@commander-js/extra-typings";

import { StartError } from "./errors.ts";
import { loadSparingly } from "./sparingly.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

const HELP = `
The shim listens on a unix socket, speaks Kubernetes KMS v2 there, and asks a kek-broker over HTTPS to wrap and
unwrap. It starts whether or not a broker answers, and logs one JSON line an event to standard error.
SIGTERM and SIGINT take the socket away and let calls in flight end; a second one ends the process at once.

Exit codes:
  0  stopped as asked, or nothing wrong was found
  1  could not start, or cannot serve this KEK
  2  wrong usage, or a wrong configuration

Examples:
  kek-shim --config /etc/kek/shim.yaml
  kek-shim check --config /etc/kek/shim.yaml`;

const CONFIG = [
  "-c, --config <file>",
  "the shim's configuration, YAML or JSON (docs/configuration.md)",
] as const;

/** The `kek-shim` command; sets the exit code. */
export async function main(argv: readonly string[], version: string): Promise<void> {
  const program = new Command("kek-shim")
    .description("Kubernetes KMS v2 plugin that holds no cloud credentials: a kek-broker does the wrapping.")
    .version(version)
    .option(...CONFIG)
    .addHelpText("after", HELP)
    .showHelpAfterError("(kek-shim --help tells more)")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE))
    .action(async ({ config }) => {
      if (config === undefined) program.error("error: --config FILE is missing");
      else process.exitCode = await serve(config);
    });

  program
    .command("check")
    .description(
      "Say all that is wrong with a configuration and what it names. Asks no broker, touches no socket.",
    )
    .action(async () => {
      const { config } = program.opts();
      if (config === undefined) program.error("error: --config FILE is missing");
      else process.exitCode = await check(config);
    });

  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : "failed");
    process.exitCode =
      error instanceof StartError && error.code === "ConfigInvalid" ? EXIT_USAGE : EXIT_FAILED;
  }
}

async function serve(path: string): Promise<number> {
  const [{ loadShimConfig }, { startShim }] = await loadSparingly(() =>
    Promise.all([import("./check.ts"), import("./shim.ts")]),
  );
  const shim = await startShim(loadShimConfig(path), { print: (line) => process.stderr.write(`${line}\n`) });
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.once(signal, () => void shim.close());
  const reason = await shim.stopped;
  if (reason === undefined) return 0;
  console.error(reason.message);
  return EXIT_FAILED;
}

async function check(path: string): Promise<number> {
  const { findProblems, loadShimConfig } = await import("./check.ts");
  const config = loadShimConfig(path);
  const problems = findProblems(config);
  for (const { path: place, message } of problems) console.error(`${place}: ${message}`);
  if (problems.length > 0) return EXIT_USAGE;
  console.log(
    `${path}: nothing wrong found. KEK ${config.kek}, cluster ${config.cluster}, socket ${config.listen}`,
  );
  return 0;
}
