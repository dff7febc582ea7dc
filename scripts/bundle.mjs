// Bundles the programs, so that a container or a function holds a few files instead of node_modules:
// `node scripts/bundle.mjs [node|lambda]… [--out FOLDER]`, by default both into dist/bundle.
//
// dist/bundle/node is the package over again (package.json, dist/bin/*.js) and runs without node_modules.
// dist/bundle/lambda is what goes into a function's package; its handler is `lambda.handler`.
// What is imported on first use, as each cloud's SDK, is a file of its own and stays unread until then.
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { parseArgs } from "node:util";
import { rolldown } from "rolldown";

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

async function main() {
  const { values, positionals } = parseArgs({
    options: { out: { type: "string", default: join(ROOT, "dist", "bundle") } },
    allowPositionals: true,
  });
  for (const target of positionals.length > 0 ? positionals : Object.keys(TARGETS)) {
    if (!Object.hasOwn(TARGETS, target)) {
      throw new Error(`no bundle for ${target}: one of ${Object.keys(TARGETS).join(", ")}`);
    }
    const folder = join(values.out, target);
    const chunks = await bundle(target, folder);
    const bytes = chunks.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0);
    console.log(`${folder}: ${chunks.length} files, ${Math.round(bytes / 1024)} KiB`);
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) await main();
