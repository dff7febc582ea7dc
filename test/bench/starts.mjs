// `npm run bench -- starts [--rounds N] [--json]`: how large bundles are and how long a broker takes to start, by
// runtime and by the clouds that its configuration names. The clouds are our fakes, on this machine. Linux only.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { gzipSync } from "node:zlib";
import { Miniflare } from "miniflare";
import { rolldown } from "rolldown";

import { bundle, packLambda } from "../../scripts/bundle.mjs";
import { ROOT } from "./processes.mjs";
import { overRounds } from "./statistics.mjs";

const { values: options } = parseArgs({
  options: { rounds: { type: "string", default: "5" }, json: { type: "boolean", default: false } },
});
const SETS = {
  "no cloud": [],
  AWS: ["aws"],
  Google: ["gcp"],
  Azure: ["az"],
  "all three": ["aws", "gcp", "az"],
};
const SDKS = { AWS: "@aws-sdk/client-kms/", Google: "@google-cloud/kms/", Azure: "@azure/keyvault-keys/" };
const LOCAL = {
  local: { keys: [{ version: "v1", key: Buffer.alloc(32).toString("base64") }], primary: "v1" },
};

const folder = mkdtempSync(join(tmpdir(), "kek-starts-"));
const say = (text) => process.stderr.write(`[starts] ${text}\n`);
let clouds;
try {
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0].model}, load average ${loadavg()[0].toFixed(1)}`;
  say("bundling");
  const chunks = {
    node: await bundle("node", join(folder, "node")),
    lambda: await bundle("lambda", join(folder, "lambda")),
  };
  const worker = bundleWorker();
  clouds = await startClouds();
  const result = { machine, sizes: sizesOf(chunks, worker), starts: await measureStarts(worker) };
  console.log(options.json ? JSON.stringify(result, null, 2) : markdown(result));
} finally {
  await clouds?.close();
  rmSync(folder, { recursive: true, force: true });
}

/** The fakes are TypeScript, which not every Node here runs. */
async function startClouds() {
  const build = await rolldown({
    input: join(ROOT, "test/emulators/clouds/emulated-clouds.ts"),
    platform: "node",
    external: /^[^./]/,
  });
  const file = join(ROOT, "node_modules", `.kek-broker-clouds-${process.pid}.mjs`);
  await build.write({ file, format: "esm", codeSplitting: false });
  await build.close();
  try {
    const { startLoopbackClouds } = await import(file);
    return await startLoopbackClouds();
  } finally {
    rmSync(file, { force: true });
  }
}

function bundleWorker() {
  const out = join(folder, "worker");
  const env = {
    ...process.env,
    WRANGLER_SEND_METRICS: "false",
    WRANGLER_SEND_ERROR_REPORTS: "false",
    CI: "1",
  };
  const wrangler = join(ROOT, "node_modules/wrangler/bin/wrangler.js");
  const { status, stderr } = spawnSync(
    process.execPath,
    [wrangler, "deploy", "--dry-run", "--minify", "--outdir", out],
    { cwd: ROOT, env, encoding: "utf8" },
  );
  if (status !== 0) throw new Error(stderr);
  return join(out, "worker.js");
}

/** What is read at the start, what one cloud's SDK adds to that, and all there is. */
function sizesOf(chunks, worker) {
  const workerCode = readFileSync(worker);
  const rows = [{ name: "Worker, one file", ...weigh([workerCode]) }];
  for (const [name, target, entry] of [
    ["Node", "node", "dist/bin/kek-broker.js"],
    ["Lambda", "lambda", "lambda.mjs"],
  ]) {
    const entryChunk = chunks[target].find(({ fileName }) => entry.endsWith(fileName));
    const started = closure(chunks[target], startOf(chunks[target], entryChunk));
    rows.push({ name: `${name}, at the start`, ...weigh(codeOf(started)) });
    for (const [cloud, sdk] of Object.entries(SDKS)) {
      const own = chunks[target].filter(({ facadeModuleId }) =>
        facadeModuleId?.includes(`node_modules/${sdk}`),
      );
      const added = closure(chunks[target], own).filter((chunk) => !started.includes(chunk));
      rows.push({ name: `${name}, with ${cloud} also`, ...weigh(codeOf(added)) });
    }
    rows.push({ name: `${name}, all files`, ...weigh(codeOf(chunks[target])) });
  }
  rows.push({ name: "Lambda, ZIP", raw: packLambda(join(folder, "lambda")).length / 1024, gzip: undefined });
  return rows;
}

/** `kek-broker serve` imports what serves once it knows that it shall. */
function startOf(all, entry) {
  const serving = all.filter(({ facadeModuleId }) => facadeModuleId?.endsWith("src/runtime/node.ts"));
  return [entry, ...serving];
}

function closure(all, first) {
  const found = new Set(first);
  for (const { imports } of found) {
    for (const chunk of all) if (imports.includes(chunk.fileName)) found.add(chunk);
  }
  return [...found];
}

function codeOf(chunks) {
  return chunks.map(({ code }) => Buffer.from(code));
}

function weigh(files) {
  const sum = (sizes) => sizes.reduce((total, size) => total + size, 0) / 1024;
  return {
    raw: sum(files.map(({ length }) => length)),
    gzip: sum(files.map((file) => gzipSync(file).length)),
  };
}

async function measureStarts(worker) {
  const rows = [];
  writeFileSync(join(folder, "ca.crt"), clouds.ca);
  const brokers = {
    "Node, node_modules": (config) => startNode(join(ROOT, "dist/bin/kek-broker.js"), config),
    "Node, bundle": (config) => startNode(join(folder, "node/dist/bin/kek-broker.js"), config),
    "Lambda, bundle": startLambda,
    workerd: (config) => startWorkerd(worker, config),
  };
  for (const [set, names] of Object.entries(SETS)) {
    const config = configOf(names);
    const rounds = [];
    for (let round = 0; round < Number(options.rounds); round += 1) {
      say(`${set}, round ${round + 1}`);
      const took = {};
      for (const [name, start] of Object.entries(brokers)) took[name] = await start(config);
      rounds.push(took);
    }
    for (const name of Object.keys(brokers)) {
      rows.push({ name, set, ...overRounds(rounds.map((round) => round[name])) });
    }
  }
  const empty = join(folder, "worker", "empty.js");
  writeFileSync(empty, 'export default { fetch: () => new Response("ok") };');
  const rounds = [];
  for (let round = 0; round < Number(options.rounds); round += 1) rounds.push(await startWorkerd(empty, {}));
  rows.push({ name: "workerd, with an empty Worker", set: "no cloud", ...overRounds(rounds) });
  return rows;
}

function configOf(names) {
  const all = clouds.createMembers();
  // Of a KEK in Azure alone wraps would be RSA's alone.
  const members =
    names.length === 0 ? { dev: LOCAL } : Object.fromEntries(names.map((name) => [name, all[name]]));
  return {
    audience: "https://kek.example.com",
    listen: "127.0.0.1:0",
    private: "127.0.0.1:0",
    allowDevelopmentKeys: true,
    ...(names.length > 0 && { identity: clouds.identity }),
    keks: { "prod-secrets": { members, allowRsaOnly: true } },
  };
}

function environment() {
  return {
    ...process.env,
    KEK_BROKER_SIGNING_KEY: clouds.signingKey,
    NODE_EXTRA_CA_CERTS: join(folder, "ca.crt"),
  };
}

/** From exec to the line that says it listens; by then its clouds have answered. */
async function startNode(main, config) {
  const file = join(folder, "broker.json");
  writeFileSync(file, JSON.stringify(config));
  const began = performance.now();
  const child = spawn(process.execPath, [main, "serve", "--config", file], {
    env: environment(),
    stdio: ["ignore", "pipe", "inherit"],
  });
  await untilSaid(child, '"listening"');
  const result = { ms: performance.now() - began, mb: residentMb(child.pid) };
  child.kill("SIGTERM");
  await once(child, "exit");
  return result;
}

/** From exec to a handler that can be called. */
async function startLambda(config) {
  const task = join(folder, "task");
  mkdirSync(task, { recursive: true });
  writeFileSync(join(task, "broker.yaml"), JSON.stringify(config));
  const script = `await import(${JSON.stringify(join(folder, "lambda", "lambda.mjs"))}); console.log("ready"); setTimeout(() => {}, 60_000);`;
  const began = performance.now();
  const child = spawn(process.execPath, ["--input-type=module", "-e", script], {
    env: { ...environment(), LAMBDA_TASK_ROOT: task },
    stdio: ["ignore", "pipe", "inherit"],
  });
  await untilSaid(child, "ready");
  const result = { ms: performance.now() - began, mb: residentMb(child.pid) };
  child.kill("SIGKILL");
  await once(child, "exit");
  return result;
}

/** From the start of workerd to its first answer, which loads the whole bundle and no cloud's client. */
async function startWorkerd(scriptPath, config) {
  const began = performance.now();
  const miniflare = new Miniflare({
    host: "127.0.0.1",
    port: 0,
    cf: false,
    modules: true,
    modulesRoot: join(folder, "worker"),
    scriptPath,
    compatibilityDate: "2026-04-26",
    compatibilityFlags: ["nodejs_compat"],
    bindings: { KEK_BROKER_CONFIG: JSON.stringify(config), KEK_BROKER_SIGNING_KEY: clouds.signingKey },
    handleRuntimeStdio: (stdout, stderr) => void [stdout.resume(), stderr.resume()],
  });
  try {
    const url = await miniflare.ready;
    const answer = await fetch(new URL("/livez", url));
    if (answer.status !== 200) throw new Error(await answer.text());
    return { ms: performance.now() - began, mb: 0 };
  } finally {
    await miniflare.dispose();
  }
}

async function untilSaid({ stdout }, words) {
  for await (const line of createInterface(stdout)) {
    if (line.includes("member-failed") || line.includes("config-refused")) throw new Error(line);
    if (line.includes(words)) return;
  }
  throw new Error(`it ended before it said ${words}`);
}

function residentMb(pid) {
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]) / 1024;
}

function markdown({ machine, sizes, starts }) {
  const size = (kib) => (kib === undefined ? "" : kib.toFixed(0));
  const names = [...new Set(starts.map(({ name }) => name))];
  const cell = (name, set) => {
    const { ms, mb } = starts.find((row) => row.name === name && row.set === set) ?? {};
    if (ms === undefined) return "";
    return mb === 0 ? ms.toFixed(0) : `${ms.toFixed(0)} / ${mb.toFixed(0)}`;
  };
  return [
    `${machine}, ${options.rounds} rounds.`,
    "",
    "| bundle | KiB | gzip KiB |",
    "| --- | --- | --- |",
    ...sizes.map(({ name, raw, gzip }) => `| ${name} | ${size(raw)} | ${size(gzip)} |`),
    "",
    `| start, ms / resident MB | ${Object.keys(SETS).join(" | ")} |`,
    `| --- |${" --- |".repeat(Object.keys(SETS).length)}`,
    ...names.map(
      (name) =>
        `| ${name} | ${Object.keys(SETS)
          .map((set) => cell(name, set))
          .join(" | ")} |`,
    ),
  ].join("\n");
}
