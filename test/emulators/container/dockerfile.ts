import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join } from "node:path";

/** What a Dockerfile makes of a context, without an engine. */
export interface Image {
  /** The folder that stands for `/`. Of the base image nothing is in it. */
  readonly root: string;
  readonly user: string;
  readonly env: Readonly<Record<string, string>>;
  readonly entrypoint: readonly string[];
  readonly command: readonly string[];
}

interface Stage {
  readonly root: string;
  workdir: string;
  user: string;
  env: Record<string, string>;
  entrypoint: readonly string[];
  command: readonly string[];
}

/**
 * Runs a Dockerfile's steps in folders of this machine: copies go below a stage's folder, commands run in its work
 * folder with this machine's Node in place of the base image's. Commands may only name relative paths. What it does
 * not know is an error, so that no step is passed over.
 */
export function runDockerfile(file: string, context: string, folder: string): Image {
  const stages = new Map<string, Stage>();
  let stage: Stage | undefined;
  for (const { name, rest } of instructionsOf(readFileSync(file, "utf8"))) {
    if (name === "FROM") {
      const [, alias = "final"] = /^\S+(?: AS (\S+))?$/.exec(rest) ?? [];
      stage = newStage(join(folder, alias));
      stages.set(alias, stage);
      continue;
    }
    if (stage === undefined) throw new Error(`${name} before FROM`);
    apply(stage, name, rest, { context, stages });
  }
  if (stage === undefined) throw new Error("no stage");
  return stage;
}

function newStage(root: string): Stage {
  mkdirSync(root, { recursive: true });
  return { root, workdir: "/", user: "0", env: {}, entrypoint: [], command: [] };
}

interface Sources {
  readonly context: string;
  readonly stages: ReadonlyMap<string, Stage>;
}

function apply(stage: Stage, name: string, rest: string, sources: Sources): void {
  switch (name) {
    case "WORKDIR":
      stage.workdir = rest;
      mkdirSync(join(stage.root, rest), { recursive: true });
      return;
    case "COPY":
      return copy(stage, rest, sources);
    case "RUN":
      return run(stage, rest);
    case "USER":
      stage.user = rest;
      return;
    case "ENV": {
      const [key = "", value = ""] = rest.split("=");
      stage.env[key] = value;
      return;
    }
    case "ENTRYPOINT":
      stage.entrypoint = JSON.parse(rest) as string[];
      return;
    case "CMD":
      stage.command = JSON.parse(rest) as string[];
      return;
    case "EXPOSE":
    case "STOPSIGNAL":
      return;
    default:
      throw new Error(`a step that is not known here: ${name}`);
  }
}

function copy(stage: Stage, rest: string, { context, stages }: Sources): void {
  const words = rest.split(/\s+/);
  const from = /^--from=(\S+)$/.exec(words[0] ?? "")?.[1];
  const paths = from === undefined ? words : words.slice(1);
  const source = from === undefined ? context : stages.get(from)?.root;
  const target = paths.pop();
  if (source === undefined || target === undefined) throw new Error(`COPY ${rest}`);
  const to = target.startsWith("/") ? join(stage.root, target) : join(stage.root, stage.workdir, target);
  for (const path of paths) {
    if (from === undefined && !isSent(context, path)) throw new Error(`${path} is not sent: .dockerignore`);
    const isFolder = statSync(join(source, path)).isDirectory();
    // A folder's content goes into the target, a file into it only where that is a folder.
    const inFolder = !isFolder && (target.endsWith("/") || (existsSync(to) && statSync(to).isDirectory()));
    cpSync(join(source, path), inFolder ? join(to, basename(path)) : to, { recursive: true });
  }
}

/** .dockerignore here is a list of what is not ignored, after `*`. */
function isSent(context: string, path: string): boolean {
  const lines = readFileSync(join(context, ".dockerignore"), "utf8")
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));
  return lines[0] === "*" && lines.includes(`!${path.split("/")[0]}`);
}

function run({ root, workdir, env }: Stage, command: string): void {
  if (/(^|[\s=])\//.test(command)) throw new Error(`not relative: ${command}`);
  const { status, stdout, stderr } = spawnSync("sh", ["-c", command], {
    cwd: join(root, workdir),
    env: { ...process.env, ...env },
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`${command}: exit ${status}\n${stdout}${stderr}`);
}

/** Lines that are no comments, with continued ones joined. */
function instructionsOf(text: string): { name: string; rest: string }[] {
  return text
    .replaceAll(/\\\n\s*/g, "")
    .split("\n")
    .filter((line) => line.trim() !== "" && !line.startsWith("#"))
    .map((line) => {
      const [, name = "", rest = ""] = /^([A-Z]+)\s+(.*)$/.exec(line) ?? [];
      return { name, rest };
    });
}

/** Every file below a folder, relative to it. */
export function filesIn(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((name) =>
    statSync(join(folder, name)).isFile(),
  );
}
