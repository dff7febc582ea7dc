import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { z } from "zod";

/** A cold build of everything takes under five minutes on two idle cores; this is the bound for a busy machine. */
export const BUILD_TIMEOUT_MS = 30 * 60_000;

const Paths = z
  .object({
    etcd: z.string(),
    etcdctl: z.string(),
    "kube-apiserver": z.string(),
    kubectl: z.string(),
  })
  .readonly();

/** Absolute paths of the programs the scenarios run. */
export type Tools = z.infer<typeof Paths>;

/** The programs, built first unless the cache has them. Rejects, saying why, when they cannot be built. */
export async function buildTools(): Promise<Tools> {
  const script = fileURLToPath(new URL("./build.mjs", import.meta.url));
  const child = spawn(process.execPath, [script], { stdio: ["ignore", "pipe", "pipe"] });
  let stdout = "";
  let stderr = "";
  child.stdout.setEncoding("utf8").on("data", (chunk: string) => (stdout += chunk));
  child.stderr.setEncoding("utf8").on("data", (chunk: string) => {
    stderr += chunk;
    // Past vitest's capture, which would hold the progress back until the hook ends.
    process.stderr.write(chunk);
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    child.once("error", reject);
    child.once("close", resolve);
  });
  if (code !== 0) throw new Error(stderr.trim());
  return Paths.parse(JSON.parse(stdout));
}
