import { Command, InvalidArgumentError } from "@commander-js/extra-typings";

import { DocumentError } from "../wire/document.ts";
import { addIssuerCommand } from "./issuer/command.ts";

const EXIT_FAILED = 1;
const EXIT_USAGE = 2;

/** The `kek-broker` command. Exit codes: 0 ended as asked, 1 could not start, 2 wrong usage. */
export async function main(argv: readonly string[], version: string): Promise<void> {
  // A reader of the log that has gone away must not end the broker; a record on the same stream fails by itself.
  process.stdout.on("error", () => {});
  const program = new Command("kek-broker")
    .description("Wraps and unwraps Kubernetes' DEKs against KEKs in cloud KMSs, for callers it knows.")
    .version(version)
    .showHelpAfterError("(kek-broker --help tells more)")
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT_USAGE));

  program
    .command("serve")
    .description("Serve a configuration until SIGTERM. SIGHUP, or a change of the file, loads it again.")
    .requiredOption("-c, --config <file>", "the broker's configuration, YAML or JSON (docs/configuration.md)")
    .addHelpText("after", "\nExamples:\n  kek-broker serve --config /etc/kek-broker/broker.yaml")
    .action(async ({ config }) => {
      const { startBroker } = await import("./node.ts");
      const stopped = untilStopped();
      const starting = startBroker({ configPath: config, development: false, print: printLine });
      // From the first moment: until there is a handler, the signal ends the process.
      process.on("SIGHUP", () => void starting.then((broker) => broker.reload()));
      const broker = await starting;
      await stopped;
      await broker.close();
    });

  program
    .command("dev")
    .description("Run broker, shim and a KMS v2 round trip on this machine, with a development KEK.")
    .option("-d, --dir <folder>", "keys, socket, logs and records", ".dev")
    .option("-p, --port <number>", "the broker's port on loopback; 0 takes a free one", parsePort, 0)
    .addHelpText(
      "after",
      [
        "",
        "The folder is made at the first start; later starts use its keys again, so that what was",
        "encrypted stays readable. Ctrl-C stops everything and leaves the folder.",
        "",
        "Examples:",
        "  npm start",
        "  npm start -- --dir /tmp/kek --port 8080",
        "  kek-broker dev --dir ./trial",
      ].join("\n"),
    )
    .action(async ({ dir, port }) => {
      const { startDev } = await import("./dev.ts");
      const stopped = untilStopped();
      const dev = await startDev({ dir, port, print: printLine });
      await stopped;
      await dev.close();
    });

  addIssuerCommand(program, printLine);

  try {
    await program.parseAsync([...argv]);
  } catch (error) {
    console.error(
      error instanceof DocumentError
        ? `The configuration is refused:\n${indent(error.message)}`
        : explain(error),
    );
    process.exit(EXIT_FAILED);
  }
}

function parsePort(text: string): number {
  const port = Number(text);
  if (/^[0-9]{1,5}$/.test(text) && port <= 65_535) return port;
  throw new InvalidArgumentError("a port is a number from 0 to 65535");
}

function printLine(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** Our own errors and the system's say what is wrong in a line; a stack helps nobody who runs this. */
function explain(error: unknown): string {
  return error instanceof Error ? error.message : "failed";
}

function indent(text: string): string {
  return text.replace(/^/gm, "  ");
}

/**
 * Listens from now on, before there is anything to leave behind. Later signals change nothing: stopping takes seconds
 * at most, and a Ctrl-C reaches this process twice when npm passes it on.
 */
function untilStopped(): Promise<void> {
  return new Promise((resolve) => {
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => resolve());
  });
}
