import { spawnSync } from "node:child_process";
import { join } from "node:path";

import { expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "..", "..");

it("refuses Node's types in what runs on Workers, though it uses the AWS SDK's", () => {
  const tsc = join(ROOT, "node_modules", "typescript", "bin", "tsc");
  const { status, stdout } = spawnSync(
    process.execPath,
    [tsc, "-p", join(import.meta.dirname, "tsconfig.json")],
    {
      encoding: "utf8",
      cwd: ROOT,
    },
  );
  expect(status).not.toBe(0);
  expect(stdout).toMatch(/uses-buffer\.ts.* Cannot find name 'Buffer'/);
}, 60_000);
