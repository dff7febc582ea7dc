import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe } from "vitest";

import { startDevProcess, type DevProcess } from "../dev/dev-process.ts";
import { describeKmsV2Socket } from "./grpc/suite.ts";

describe("shim and broker as kek-broker dev runs them", () => {
  const folder = mkdtempSync(join(tmpdir(), "kek-grpc-"));
  let dev: DevProcess;
  beforeAll(async () => {
    dev = startDevProcess(["--dir", folder]);
    await dev.up;
  });
  afterAll(async () => {
    dev.interrupt();
    await dev.exited;
    rmSync(folder, { recursive: true, force: true });
  });
  describeKmsV2Socket({ socket: join(folder, "kms.sock") });
});
