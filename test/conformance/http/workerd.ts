import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { Miniflare } from "miniflare";
import { unstable_readConfig } from "wrangler";

import type { BrokerTarget } from "./suite.ts";

const run = promisify(execFile);

/** Bundles the Worker exactly as `wrangler deploy` would, into a folder of its own. */
async function bundleWorker(folder: string): Promise<string> {
  await run(
    process.execPath,
    ["node_modules/wrangler/bin/wrangler.js", "deploy", "--dry-run", "--minify", "--outdir", folder],
    {
      timeout: 60_000,
      env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_SEND_ERROR_REPORTS: "false", CI: "1" },
    },
  );
  return join(folder, "worker.js");
}

/** The broker inside workerd, by wrangler.toml, with `config` in the binding that a deployment has as a secret. */
export async function startWorkerdBroker(config: string): Promise<BrokerTarget> {
  const folder = await mkdtemp(join(tmpdir(), "kek-broker-worker-"));
  const scriptPath = await bundleWorker(folder);
  const { compatibility_date, compatibility_flags } = unstable_readConfig({ config: "wrangler.toml" });
  if (compatibility_date === undefined) throw new Error("wrangler.toml names no compatibility_date");
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    modules: true,
    modulesRoot: folder,
    scriptPath,
    compatibilityDate: compatibility_date,
    compatibilityFlags: compatibility_flags,
    bindings: { KEK_BROKER_CONFIG: config },
    handleRuntimeStdio: (stdout: Readable, stderr: Readable) => {
      stdout.resume();
      stderr.resume();
    },
  });
  const url = await miniflare.ready;
  return {
    url: url.origin,
    close: async () => {
      await miniflare.dispose();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
