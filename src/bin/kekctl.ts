#!/usr/bin/env node
import { kekctl } from "../cli/kekctl.ts";
import { packageVersion } from "./version.ts";

// Whoever reads may have enough: `kekctl config schema | head` is no failure.
process.stdout.on("error", (error) => {
  if (!("code" in error && error.code === "EPIPE")) throw error;
});

process.exitCode = await kekctl(process.argv.slice(2), packageVersion(), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  stdin: process.stdin,
});
