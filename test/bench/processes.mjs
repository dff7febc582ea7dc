import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync, readdirSync, readFileSync, watch } from "node:fs";
import { basename, dirname, join } from "node:path";

export const ROOT = dirname(dirname(import.meta.dirname));
const START_LIMIT_MS = 15_000;

/** As operators start them. */
export const PROGRAMS = {
  broker: (config) => [join(ROOT, "dist/bin/kek-broker.js"), "serve", "--config", config],
  shim: (config) => [join(ROOT, "dist/bin/kek-shim.js"), "--config", config],
  bare: () => [join(import.meta.dirname, "bare.mjs")],
  fakeClouds: (bundle, latencyMs, caFile) => [bundle, String(latencyMs), caFile],
  overhead: (job) => [join(import.meta.dirname, "overhead.mjs"), JSON.stringify(job)],
  fakeAws: (latencyMs) => [join(import.meta.dirname, "fake-aws.mjs"), String(latencyMs)],
};

const running = new Set();

/** Starts a program on this very Node with this process' own options (`--cpu-prof`). What it prints goes into a file, so that reading it costs the measuring process nothing. */
export function start(args, logFile, env = {}) {
  const log = openSync(logFile, "a");
  const began = performance.now();
  const child = spawn(process.execPath, [...process.execArgv, ...args], {
    stdio: ["ignore", log, log],
    env: { ...process.env, ...env },
  });
  closeSync(log);
  running.add(child);
  child.once("exit", () => running.delete(child));
  return {
    pid: child.pid,
    began,
    logFile,
    ended: once(child, "exit"),
    exited: () => child.exitCode !== null || child.signalCode !== null,
    stop: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, "exit");
      child.kill("SIGTERM");
      await exit;
    },
  };
}

/** Ends whatever still runs: for the way out. */
export function killAll() {
  for (const child of running) child.kill("SIGKILL");
}

/** Resolves to the first line of a process' output that fits; the match is as quick as the file system tells. */
export async function printed(program, pattern) {
  const find = () =>
    readFileSync(program.logFile, "utf8")
      .split("\n")
      .find((line) => pattern.test(line));
  return appears(program, program.logFile, find);
}

/** Resolves once `find` finds something, asked at each change in the file's folder. */
export async function appears(program, file, find) {
  const limit = AbortSignal.timeout(START_LIMIT_MS);
  const watcher = watch(dirname(file));
  try {
    for (;;) {
      const found = find();
      if (found !== undefined) return found;
      if (limit.aborted || program.exited()) {
        throw new Error(`${basename(program.logFile)}:\n${readFileSync(program.logFile, "utf8")}`);
      }
      await once(watcher, "change", { signal: AbortSignal.timeout(100) }).catch(() => {});
    }
  } finally {
    watcher.close();
  }
}

/** Time on a processor in milliseconds, of all its threads. */
export function cpuMs(pid) {
  const tasks = `/proc/${pid}/task`;
  const spent = readdirSync(tasks).map((task) => readFileSync(`${tasks}/${task}/schedstat`, "utf8"));
  return spent.reduce((sum, text) => sum + Number(text.split(" ")[0]), 0) / 1e6;
}

/** Resident memory in MB (2^20 bytes), as Linux counts it. */
export function residentMb(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}
