// Bundles the programs, so that a container or a function holds a few files instead of node_modules:
// `node scripts/bundle.mjs [node|lambda]… [--out FOLDER] [--config FILE]`, by default both into dist/bundle.
//
// FOLDER/node is the package over again (package.json, dist/bin/*.js) and runs without node_modules.
// FOLDER/lambda is a function's package, its handler `lambda.handler`, and FOLDER/kek-broker-lambda.zip is it packed.
// `--config` puts that file into the function's package as broker.yaml, where the function looks for it.
// What is imported on first use, as each cloud's SDK, is a file of its own and stays unread until then.
import {
  accessSync,
  constants,
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { rolldown } from "rolldown";

import { zip } from "./zip.mjs";

const ROOT = dirname(dirname(fileURLToPath(import.meta.url)));
const MANIFEST = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));

const TARGETS = {
  node: {
    input: Object.fromEntries(Object.keys(MANIFEST.bin).map((name) => [`bin/${name}`, `src/bin/${name}.ts`])),
    folder: "dist",
    extension: "js",
  },
  lambda: { input: { lambda: "src/runtime/lambda.ts" }, folder: ".", extension: "mjs" },
};

/** @typedef {keyof typeof TARGETS} Target */

/**
 * Writes one target's bundle into an empty folder, and returns its files: what each is imported for, and its modules.
 * @param {Target} target
 * @param {string} folder
 */
export async function bundle(target, folder) {
  const { input, folder: inner, extension } = TARGETS[target];
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const build = await rolldown({ input, platform: "node", cwd: ROOT, onLog: refuseWarnings });
  const { output } = await build.write({
    dir: join(folder, inner),
    format: "esm",
    minify: true,
    // Beside the files, to read a stack of the log by; neither image nor zip takes them.
    sourcemap: "hidden",
    entryFileNames: `[name].${extension}`,
    chunkFileNames: (chunk) => `chunks/${nameOf(chunk)}-[hash].${extension}`,
  });
  await build.close();
  if (target === "node") writeFileSync(join(folder, "package.json"), manifestOfBundle());
  return output.filter(({ type }) => type === "chunk");
}

/** What a chunk is called: after the package that it was made for. */
function nameOf({ facadeModuleId, moduleIds, name }) {
  const [, path] = /.*node_modules\/(.+)$/.exec(facadeModuleId ?? moduleIds[0] ?? "") ?? [];
  if (path === undefined) return name;
  const [scope, unscoped] = path.split("/");
  return scope.startsWith("@") ? `${scope.slice(1)}-${unscoped}` : scope;
}

function manifestOfBundle() {
  const { name, version, license, type, bin, engines } = MANIFEST;
  return `${JSON.stringify({ name, version, license, type, bin, engines }, undefined, 2)}\n`;
}

function refuseWarnings(level, log) {
  if (level === "warn") throw new Error(`${log.code}: ${log.message}`);
}

/**
 * Packs what a function runs.
 * @param {string} folder
 * @returns {Buffer}
 */
export function packLambda(folder) {
  const names = readdirSync(folder, { recursive: true, encoding: "utf8" });
  const wanted = names.filter((name) => /\.(mjs|yaml)$/.test(name));
  return zip(Object.fromEntries(wanted.map((name) => [name, readFileSync(join(folder, name))])));
}

const USAGE = "usage: npm run bundle -- [node|lambda]… [--out FOLDER] [--config FILE, for lambda]";

/** Everything that can be wrong with the command, before anything is written. */
function argumentsOf(argv) {
  try {
    const { values, positionals } = parseArgs({
      args: argv,
      options: { out: { type: "string", default: join(ROOT, "dist", "bundle") }, config: { type: "string" } },
      allowPositionals: true,
    });
    const unknown = positionals.find((target) => !Object.hasOwn(TARGETS, target));
    if (unknown !== undefined) throw new Error(`there is no bundle for ${unknown}`);
    const targets = positionals.length > 0 ? positionals : Object.keys(TARGETS);
    if (values.config !== undefined) {
      if (!targets.includes("lambda")) throw new Error("--config goes into the bundle for lambda alone");
      accessSync(values.config, constants.R_OK);
    }
    return { targets, ...values };
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    process.exit(2);
  }
}

async function main() {
  const { targets, ...values } = argumentsOf(process.argv.slice(2));
  for (const target of targets) {
    const folder = join(values.out, target);
    const chunks = await bundle(target, folder);
    report(
      folder,
      chunks.length,
      chunks.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0),
    );
    if (target !== "lambda") continue;
    if (values.config !== undefined) copyFileSync(values.config, join(folder, "broker.yaml"));
    const packed = packLambda(folder);
    writeFileSync(join(values.out, "kek-broker-lambda.zip"), packed);
    report(join(values.out, "kek-broker-lambda.zip"), 1, packed.length);
  }
}

function report(path, files, bytes) {
  console.log(`${path}: ${files === 1 ? "" : `${files} files, `}${Math.round(bytes / 1024)} KiB`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
