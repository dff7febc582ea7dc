#!/usr/bin/env node
import { kekctl } from "../cli/kekctl.ts";

process.exitCode = await kekctl(process.argv.slice(2), {
  out: (text) => process.stdout.write(text),
  err: (text) => process.stderr.write(text),
  stdin: process.stdin,
});
