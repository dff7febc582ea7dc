import { type Command, InvalidArgumentError, Option } from "@commander-js/extra-typings";
import type * as z from "zod";

import { Issuer } from "../../config/identity.ts";
import { Duration } from "../../wire/duration.ts";
import { parseShape } from "../../wire/issue.ts";
import { newSigningKey } from "./documents.ts";
import { initIssuer, type IssuerDeps, type IssuerReport } from "./init.ts";
import { rotateIssuer } from "./rotate.ts";
import { trustOf } from "./trust.ts";

/** Clouds do not say how long they keep an issuer's keys; a day is what a careful one would. */
const OVERLAP = "24h";
const LOOK_MS = 5_000;

const DEPS: IssuerDeps = {
  now: Date.now,
  fetch: (url) => fetch(url, { redirect: "error", signal: AbortSignal.timeout(LOOK_MS) }),
  newKey: newSigningKey,
};

/** Adds `issuer` with its commands. `print` takes a line. */
export function addIssuerCommand(program: Command, print: (line: string) => void): void {
  const issuer = program
    .command("issuer")
    .description(
      "Make and rotate an issuer of the broker's own: who it is to clouds that do not know its platform.",
    )
    .addHelpText(
      "after",
      "\nExamples:\n  kek-broker issuer init --url https://kek-issuer.example.com --out ./issuer --key ./signing-key.json\n" +
        "  kek-broker issuer rotate --out ./issuer --key ./signing-key.json\n" +
        "  kek-broker issuer trust --url https://kek-issuer.example.com\n\n" +
        "docs/federation.md tells what for.",
    );

  issuer
    .command("init")
    .description("Write a new key, and the discovery document and keys that are to be published.")
    .requiredOption("--url <url>", "the issuer, https: where the folder will be published", parseUrl)
    .requiredOption("--out <folder>", "what is to be published")
    .requiredOption("--key <file>", "gets the private key (a JWK, mode 0600)")
    .option("--subject <text>", "the tokens' sub", parseSubject, "kek-broker")
    .option("--dry-run", "write nothing", false)
    .option("--json", "tell it as JSON", false)
    .addHelpText(
      "after",
      "\nExample:\n  kek-broker issuer init --url https://kek-issuer.example.com --out ./issuer --key ./signing-key.json",
    )
    .action(async ({ json, ...options }) => tell(await initIssuer(options, DEPS), json, print));

  issuer
    .command("rotate")
    .description(
      "Take one step of a rotation; run it again until it is done. No token is refused on the way.",
    )
    .requiredOption("--out <folder>", "what is published")
    .requiredOption("--key <file>", "the private key; the next one waits beside it")
    .addOption(
      new Option("--overlap <duration>", "how long to wait between the steps")
        .argParser(parseOverlap)
        .default(parseOverlap(OVERLAP), OVERLAP),
    )
    .option("--force", "take the step without the wait and without a look at what is published", false)
    .option("--dry-run", "write nothing", false)
    .option("--json", "tell it as JSON", false)
    .addHelpText(
      "after",
      [
        "",
        "Three steps, with what you do after each:",
        "  next     a next key is made.  Publish the folder, and wait.",
        "  signing  the next key signs.  Give it to every broker, and wait.",
        "  done     the last key goes.   Publish the folder.",
        "Exit code 1 when it is too early for the next step, or the next key is not published.",
        "",
        "Example:",
        "  kek-broker issuer rotate --out ./issuer --key ./signing-key.json",
      ].join("\n"),
    )
    .action(async ({ json, overlap: overlapMs, ...options }) => {
      tell(await rotateIssuer({ ...options, overlapMs }, DEPS), json, print);
    });

  issuer
    .command("trust")
    .description("Print what makes each cloud trust the issuer, to be pasted.")
    .requiredOption("--url <url>", "the issuer", parseUrl)
    .option("--subject <text>", "the tokens' sub", parseSubject, "kek-broker")
    .addHelpText("after", "\nExample:\n  kek-broker issuer trust --url https://kek-issuer.example.com")
    .action((options) => trustOf(options).forEach((line) => print(line)));
}

function tell({ text, ...facts }: IssuerReport, json: boolean, print: (line: string) => void): void {
  if (json) print(JSON.stringify(facts));
  else text.forEach((line) => print(line));
}

function parseUrl(text: string): string {
  return valid(Issuer.shape.url, text);
}

function parseSubject(text: string): string {
  return valid(Issuer.shape.subject, text);
}

function parseOverlap(text: string): number {
  return valid(Duration, text) * 1000;
}

function valid<Value>(schema: z.ZodType<Value>, text: string): Value {
  const shape = parseShape(schema, text);
  if (shape.ok) return shape.data;
  throw new InvalidArgumentError(shape.issues.map(({ message }) => message).join(", "));
}
