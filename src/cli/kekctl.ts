import { Command, CommanderError, Option } from "@commander-js/extra-typings";

import { NODE_ASSERTION_ALGORITHMS } from "../wire/node-assertion.ts";
import { CommandError, EXIT, type ExitCode, type Terminal } from "./terminal.ts";

const EXIT_CODES = `
Exit codes:
  0  done, nothing found
  1  what was checked has mistakes
  2  wrong usage, or a file that cannot be read or written`;

/**
 * Runs one command line, without the program's own name.
 * @returns the exit code; never throws for what a user can do wrong.
 */
export async function kekctl(
  args: readonly string[],
  version: string,
  terminal: Terminal,
): Promise<ExitCode> {
  let code: ExitCode = EXIT.ok;
  const program = createProgram(version, terminal, (ended) => {
    code = ended;
  });
  try {
    await program.parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    if (!(error instanceof CommandError)) throw error;
    terminal.err(`kekctl: ${error.message}\n`);
    return EXIT.usage;
  }
}

/** Commands are loaded when they run: `kekctl --help` waits for none of them. */
function createProgram(version: string, terminal: Terminal, end: (code: ExitCode) => void): Command {
  const program = new Command("kekctl")
    .description("The command line of kek-broker, for platform teams and auditors.")
    .version(version)
    .addHelpText("after", EXIT_CODES);
  configure(program, terminal);
  addConfig(program, terminal, end);
  addNode(program, terminal);
  return program;
}

/** Subcommands take these settings over. */
function configure(program: Command, { out, err }: Terminal): void {
  program
    .exitOverride()
    .configureOutput({ writeOut: out, writeErr: err, getOutHelpWidth: () => 100, getErrHelpWidth: () => 100 })
    .showHelpAfterError("(see --help)");
}

function addConfig(program: Command, terminal: Terminal, end: (code: ExitCode) => void): void {
  const config = program.command("config").description("the broker's configuration");
  config
    .command("check")
    .description("check a configuration, or the change from one to the next")
    .argument("<file>", "YAML or JSON, - for standard input")
    .argument("[next]", "what replaces it: refuses what would lock somebody out on the way")
    .option("--json", "print the result as JSON")
    .addOption(
      new Option("--runtime <name>", "where the broker runs: decides what of the file it can use")
        .choices(["node", "worker", "lambda"])
        .default("node"),
    )
    .addHelpText(
      "after",
      `
Examples:
  $ kekctl config check broker.yaml
  $ git show main:broker.yaml | kekctl config check - broker.yaml
  $ kekctl config check --json --runtime worker broker.yaml
${EXIT_CODES}`,
    )
    .action(async (file, next, options) => {
      const { checkConfig } = await import("./config-check.ts");
      end(await checkConfig({ files: next === undefined ? [file] : [file, next], ...options }, terminal));
    });
  config
    .command("schema")
    .description("print the configuration's JSON Schema")
    .addHelpText("after", "\nExample:\n  $ kekctl config schema > broker-config.schema.json")
    .action(async () => {
      const { printConfigSchema } = await import("./config-schema.ts");
      printConfigSchema(terminal);
    });
}

function addNode(program: Command, terminal: Terminal): void {
  const node = program.command("node").description("nodes of a cluster's control plane");
  node
    .command("new")
    .description("make the key a node signs with, and print its entry for the broker's configuration")
    .requiredOption("--cluster <name>", "the cluster's name in the broker's configuration")
    .requiredOption("--node <name>", "the node's name")
    .requiredOption("--out <file>", "where the private key goes, mode 0600; an existing file is left alone")
    .addOption(
      new Option("--alg <name>", "signature algorithm").choices(NODE_ASSERTION_ALGORITHMS).default("ES256"),
    )
    .option("--not-after <date>", "the broker refuses the node from then on, as 2027-11-01")
    .addHelpText(
      "after",
      `
The private key stays on the node: make it there, and take only what is printed to the broker.

Example:
  $ kekctl node new --cluster prod-eu-1 --node cp-1 --out /etc/kek/node-key.json --not-after 2027-11-01
${EXIT_CODES}`,
    )
    .action(async (options) => {
      const { newNode } = await import("./node-new.ts");
      await newNode(options, terminal);
    });
}
