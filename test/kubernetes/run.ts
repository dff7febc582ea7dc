import { spawn } from "node:child_process";

const TIMEOUT_MS = 60_000;

/** What a command that ended by itself had to say. */
export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a command to its end and returns whatever its exit code is; rejects only if a signal or the time limit ended it. */
export function run(
  file: string,
  args: readonly string[],
  { stdin, env }: { stdin?: string | Uint8Array | undefined; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = spawn(file, args, { env: { ...process.env, ...env }, timeout: TIMEOUT_MS });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => (stderr += chunk));
  // A command that does not read its input to the end is no failure of ours.
  child.stdin.on("error", () => {}).end(stdin);
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code, signal) => {
      if (code === null) reject(new Error(`${file} was ended by ${signal}: ${stderr}`));
      else resolve({ code, stdout, stderr });
    });
  });
}
