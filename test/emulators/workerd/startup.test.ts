import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

import { expect, it } from "vitest";
import * as z from "zod";

import { useSandbox } from "../../kubernetes/sandbox.ts";

const sandbox = useSandbox();

/** A V8 profile as `wrangler check startup` writes it. */
const Profile = z.object({
  nodes: z.array(z.object({ id: z.int(), callFrame: z.object({ functionName: z.string() }) })),
  samples: z.array(z.int()),
  timeDeltas: z.array(z.number()),
});
const IDLE = new Set(["(idle)", "(program)", "(root)"]);

it("starts the Worker in a part of the second of processor time that Cloudflare gives", () => {
  const file = sandbox.path("startup.cpuprofile");
  const wrangler = "node_modules/wrangler/bin/wrangler.js";
  execFileSync(process.execPath, [wrangler, "check", "startup", "--outfile", file], {
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_SEND_ERROR_REPORTS: "false", CI: "1" },
    stdio: "ignore",
    timeout: 60_000,
  });
  const { nodes, samples, timeDeltas } = Profile.parse(JSON.parse(readFileSync(file, "utf8")));
  const idle = new Set(nodes.filter(({ callFrame }) => IDLE.has(callFrame.functionName)).map(({ id }) => id));
  const microseconds = samples.reduce(
    (sum, id, index) => sum + (idle.has(id) ? 0 : (timeDeltas[index] ?? 0)),
    0,
  );
  console.log(`Worker: ${Math.round(microseconds / 1000)} ms of its start are its own`);
  expect(microseconds).toBeGreaterThan(0);
  expect(microseconds / 1000).toBeLessThan(1000);
});
