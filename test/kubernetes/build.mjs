/*
 * Builds what the scenarios run, as a plain script: `npm run test:real` calls it before there is anything to compile TypeScript.
 * Progress goes to stderr; the last word, on stdout, is a JSON object of the programs' paths (read by tools.ts).
 */
import { spawn, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

const MODULES = join(import.meta.dirname, "modules");
const PROGRESS_EVERY_MS = 30_000;
const FLAGS = ["-p", "2", "-trimpath", "-buildvcs=false"];

/** @typedef {{ name: string, module: "etcd" | "kubernetes", package: string }} Program */

/** @type {readonly Program[]} */
const PROGRAMS = [
  { name: "etcd", module: "etcd", package: "go.etcd.io/etcd/server/v3" },
  { name: "etcdctl", module: "etcd", package: "go.etcd.io/etcd/etcdctl/v3" },
  {
    name: "kube-apiserver",
    module: "kubernetes",
    package: "k8s.io/kubernetes/cmd/kube-apiserver",
  },
  { name: "kubectl", module: "kubernetes", package: "k8s.io/kubernetes/cmd/kubectl" },
];

try {
  const folder = join(cacheFolder(), "kubernetes", cacheKey(goToolchain()));
  mkdirSync(folder, { recursive: true });
  for (const program of PROGRAMS) await build(program, folder);
  console.log(JSON.stringify(Object.fromEntries(PROGRAMS.map(({ name }) => [name, join(folder, name)]))));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}

function cacheFolder() {
  const caches = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  return process.env["KEK_BROKER_CACHE"] ?? join(caches, "kek-broker");
}

/** Version and target of the Go that the modules would be built with. */
function goToolchain() {
  const { status, stdout, stderr } = spawnSync("go", ["env", "GOVERSION", "GOOS", "GOARCH"], {
    cwd: join(MODULES, "kubernetes"),
    encoding: "utf8",
  });
  if (status === 0) return stdout.trim();
  throw new Error(
    `kube-apiserver, kubectl and etcd are built from source, which needs Go 1.26 or newer as \`go\` on PATH (https://go.dev/dl)${stderr ? `; go says: ${stderr.trim()}` : ""}`,
  );
}

/** @param {string} toolchain */
function cacheKey(toolchain) {
  const hash = createHash("sha256").update(JSON.stringify([toolchain, FLAGS, PROGRAMS]));
  for (const module of ["etcd", "kubernetes"]) {
    for (const file of ["go.mod", "go.sum"]) hash.update(readFileSync(join(MODULES, module, file)));
  }
  return hash.digest("hex").slice(0, 16);
}

/**
 * @param {Program} program
 * @param {string} folder
 */
async function build(program, folder) {
  const target = join(folder, program.name);
  if (existsSync(target)) return;
  const partial = `${target}.partial-${process.pid}`;
  const started = performance.now();
  const seconds = () => `${Math.round((performance.now() - started) / 1000)} s`;
  say(`building ${program.name} into ${folder}`);
  const progress = setInterval(() => say(`still building ${program.name}, ${seconds()}`), PROGRESS_EVERY_MS);
  try {
    await goBuild(program, partial);
    // Whoever looks meanwhile sees a whole program or none.
    renameSync(partial, target);
  } finally {
    clearInterval(progress);
    rmSync(partial, { force: true });
  }
  say(`built ${program.name} in ${seconds()}`);
}

/**
 * @param {Program} program
 * @param {string} output
 * @returns {Promise<void>}
 */
function goBuild(program, output) {
  const args = ["build", ...FLAGS, "-ldflags", linkerFlags(program), "-o", output, program.package];
  const child = spawn("go", args, {
    cwd: join(MODULES, program.module),
    env: { ...process.env, CGO_ENABLED: "0", GOFLAGS: "-mod=readonly", GOWORK: "off" },
    stdio: ["ignore", "ignore", "pipe"],
  });
  let messages = "";
  child.stderr.setEncoding("utf8").on("data", (chunk) => (messages += chunk));
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === 0) return resolve();
      const tail = messages.split("\n").slice(-20).join("\n");
      reject(new Error(`go build ${program.package} ended with ${code ?? signal}:\n${tail}`));
    });
  });
}

/**
 * Only the linker tells the programs of Kubernetes which version they are.
 * @param {Program} program
 */
function linkerFlags(program) {
  const flags = ["-s", "-w"];
  if (program.module === "kubernetes") {
    const mod = readFileSync(join(MODULES, "kubernetes", "go.mod"), "utf8");
    const [, version, major, minor] = /k8s\.io\/kubernetes (v(\d+)\.(\d+)\.\d+)/.exec(mod) ?? [];
    if (version === undefined) throw new Error("go.mod names no version of k8s.io/kubernetes");
    for (const set of [`gitVersion=${version}`, `gitMajor=${major}`, `gitMinor=${minor}`]) {
      flags.push("-X", `k8s.io/component-base/version.${set}`);
    }
  }
  return flags.join(" ");
}

/** @param {string} line */
function say(line) {
  process.stderr.write(`[test/kubernetes] ${line}\n`);
}
