import { spawn } from "node:child_process";

/** `kek-broker dev` as a person starts it, in a process group of its own as a terminal gives it. */
export interface DevProcess {
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  readonly output: () => string;
  /** Resolves once the last line of the transcript is there; rejects if the process ends first. */
  readonly up: Promise<string>;
  /** What Ctrl-C does: SIGINT to the whole group. */
  readonly interrupt: () => void;
  readonly kill: () => void;
}

export function startDevProcess(args: readonly string[]): DevProcess {
  const child = spawn(process.execPath, ["dist/bin/kek-broker.js", "dev", ...args], {
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  let output = "";
  const exited = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
  });
  const up = new Promise<string>((resolve, reject) => {
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.includes("Ctrl-C stops both")) resolve(output);
      });
    }
    void exited.then(() => reject(new Error(`dev ended early:\n${output}`)));
  });
  up.catch(() => {});
  const signalGroup = (signal: NodeJS.Signals): void => {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
    process.kill(-child.pid, signal);
  };
  return {
    exited,
    output: () => output,
    up,
    interrupt: () => signalGroup("SIGINT"),
    kill: () => signalGroup("SIGKILL"),
  };
}
