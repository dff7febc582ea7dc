import { join } from "node:path";
import { tmpdir } from "node:os";
import { mkdtempSync, rmSync } from "node:fs";

import { afterAll, beforeAll, describe } from "vitest";

import { startShim } from "../../src/shim/shim.ts";
import type { RunningShim } from "../../src/shim/shim.ts";
import { describeKmsV2Socket } from "../conformance/grpc/suite.ts";
import { FakeBroker } from "./fake-broker.ts";
import { makeConfig, makeNodeKeyFile } from "./kit.ts";

describe("the shim before a broker that works", () => {
  const folder = mkdtempSync(join(tmpdir(), "kek-"));
  let broker: FakeBroker;
  let shim: RunningShim;

  beforeAll(async () => {
    broker = await FakeBroker.start();
    makeNodeKeyFile(folder);
    shim = await startShim(makeConfig(folder, [broker.url]), { print: () => undefined });
  });
  afterAll(async () => {
    await shim.close();
    await broker.stop();
    rmSync(folder, { recursive: true });
  });

  describeKmsV2Socket({ socket: () => shim.socketPath, versions: ["v2"], bitFlips: 480 });
});
