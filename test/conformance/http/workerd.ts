import { execFile } from "node:child_process";
import { rmSync } from "node:fs";
import { mkdtemp } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import type { Readable } from "node:stream";
import { promisify } from "node:util";
import { Miniflare, type Request as WorkerdRequest, Response as WorkerdResponse } from "miniflare";
import { unstable_readConfig } from "wrangler";

import type { BrokerTarget } from "./suite.ts";

export interface WorkerdOptions {
  /** Besides the configuration. */
  readonly bindings?: Readonly<Record<string, string>>;
  /** Answers whatever the Worker fetches, whatever its host; without it the network does. */
  readonly outbound?: (request: Request) => Promise<Response>;
  /** Whether a caller's header `x-leave-after-ms` has it leave then, as Cloudflare's edge tells a Worker. */
  readonly callersMayLeave?: boolean;
}

/** Between callers and the Worker: workerd itself does not look whether a connection has ended. */
const EDGE = `export default {
  async fetch(request, { WORKER }) {
    const leaveAfterMs = request.headers.get("x-leave-after-ms");
    if (leaveAfterMs === null) return WORKER.fetch(request);
    const leaving = new AbortController();
    setTimeout(() => leaving.abort(), Number(leaveAfterMs));
    return WORKER.fetch(new Request(request, { signal: leaving.signal })).catch(() => new Response(null, { status: 499 }));
  },
}`;

export interface WorkerBundle {
  readonly folder: string;
  readonly script: string;
  /** What esbuild says went into it. */
  readonly metafile: string;
}

const execute = promisify(execFile);
let bundled: Promise<WorkerBundle> | undefined;

/** Bundles the Worker exactly as `wrangler deploy` would, once for all tests of this process. */
export function bundleOfWorker(): Promise<WorkerBundle> {
  return (bundled ??= bundleWorker());
}

/** @param entry Another than wrangler.toml's `main`. */
async function bundleWorker(entry?: string): Promise<WorkerBundle> {
  const folder = await mkdtemp(join(tmpdir(), "kek-broker-worker-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const metafile = join(folder, "meta.json");
  const files = entry === undefined ? [] : [entry];
  const options = ["--dry-run", "--outdir", folder, "--metafile", metafile];
  await execute(process.execPath, ["node_modules/wrangler/bin/wrangler.js", "deploy", ...files, ...options], {
    timeout: 60_000,
    env: { ...process.env, WRANGLER_SEND_METRICS: "false", WRANGLER_SEND_ERROR_REPORTS: "false", CI: "1" },
  });
  return { folder, script: join(folder, `${basename(entry ?? "worker.ts", ".ts")}.js`), metafile };
}

/** The broker inside workerd, by wrangler.toml, with `config` in the binding that a deployment has as a secret. */
export async function startWorkerdBroker(
  config: string,
  { bindings = {}, ...options }: WorkerdOptions = {},
): Promise<BrokerTarget> {
  return run({ ...options, bindings: { ...bindings, KEK_BROKER_CONFIG: config } }, await bundleOfWorker());
}

/** Another Worker by wrangler.toml's settings. */
export async function startWorker(entry: string, options: WorkerdOptions): Promise<BrokerTarget> {
  return run(options, await bundleWorker(entry));
}

async function run(
  { bindings = {}, outbound, callersMayLeave = false }: WorkerdOptions,
  { folder, script }: WorkerBundle,
): Promise<BrokerTarget> {
  const { compatibility_date, compatibility_flags } = unstable_readConfig({ config: "wrangler.toml" });
  if (compatibility_date === undefined) throw new Error("wrangler.toml names no compatibility_date");
  const edge = {
    name: "edge",
    modules: true,
    script: EDGE,
    compatibilityDate: compatibility_date,
    serviceBindings: { WORKER: "worker" },
  };
  const worker = {
    name: "worker",
    modules: true,
    modulesRoot: folder,
    scriptPath: script,
    compatibilityDate: compatibility_date,
    compatibilityFlags: compatibility_flags,
    bindings,
    ...(outbound !== undefined && { outboundService: through(outbound) }),
  };
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    // The first one is who is asked.
    workers: callersMayLeave ? [edge, worker] : [worker],
    handleRuntimeStdio: (stdout: Readable, stderr: Readable) => {
      stdout.resume();
      stderr.resume();
    },
  });
  const url = await miniflare.ready;
  return { url: url.origin, close: () => miniflare.dispose() };
}

/** miniflare has classes of its own for the same things. */
function through(outbound: NonNullable<WorkerdOptions["outbound"]>) {
  return async ({ url, method, headers, body }: WorkerdRequest): Promise<WorkerdResponse> => {
    const sent = body === null ? undefined : await new WorkerdResponse(body).arrayBuffer();
    const answer = await outbound(
      new Request(url, { method, headers: [...headers], ...(sent !== undefined && { body: sent }) }),
    );
    return new WorkerdResponse(await answer.arrayBuffer(), {
      status: answer.status,
      headers: [...answer.headers],
    });
  };
}
