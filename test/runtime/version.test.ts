import { execFileSync } from "node:child_process";
import { expect, it } from "vitest";

import manifest from "../../package.json" with { type: "json" };

it.each(Object.entries(manifest.bin))("%s --version is the package's", (_, file) => {
  expect(execFileSync(process.execPath, [file, "--version"], { encoding: "utf8" }).trim()).toBe(
    manifest.version,
  );
});
