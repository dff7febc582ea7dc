import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { createServer, type AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type { BrokerTarget } from "./suite.ts";

/** A port nobody listens on right now. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** A broker process as an operator starts it. */
export interface NodeBroker extends BrokerTarget {
  readonly privateUrl: string;
  readonly pid: number;
  /** The file it was started with; write it again and send SIGHUP to reload. */
  readonly configFile: string;
  readonly auditFile: string;
  /** Everything it printed so far. */
  readonly output: () => string;
  /** Resolves when a line of its output matches. */
  readonly printed: (pattern: RegExp) => Promise<string>;
  readonly signal: (name: NodeJS.Signals) => void;
  /** Closes the reading end of its standard output. */
  readonly stopReading: () => void;
  readonly exited: Promise<number | null>;
}

/** Runs the built `kek-broker serve` on free ports of loopback. */
export async function startNodeBroker(config: string, env: Record<string, string> = {}): Promise<NodeBroker> {
  const folder = await mkdtemp(join(tmpdir(), "kek-broker-node-"));
  const configFile = join(folder, "broker.json");
  const auditFile = join(folder, "custody.jsonl");
  const [port, privatePort] = [await freePort(), await freePort()];
  const addresses = {
    listen: `127.0.0.1:${port}`,
    private: `127.0.0.1:${privatePort}`,
    audit: { file: auditFile },
  };
  await writeFile(configFile, JSON.stringify({ ...addresses, ...(JSON.parse(config) as object) }), {
    mode: 0o600,
  });
  const child = spawn(process.execPath, ["dist/bin/kek-broker.js", "serve", "--config", configFile], {
    stdio: ["ignore", "pipe", "pipe"],
    env: { ...process.env, ...env },
  });
  let output = "";
  const watchers = new Set<() => void>();
  let ended = false;
  const exited = new Promise<number | null>((resolve) => {
    child.once("exit", (code) => {
      ended = true;
      resolve(code);
      for (const watch of watchers) watch();
    });
  });
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      for (const watch of watchers) watch();
    });
  }
  const printed = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      const watch = (): void => {
        const line = output.split("\n").find((candidate) => pattern.test(candidate));
        if (line === undefined && !ended) return;
        watchers.delete(watch);
        if (line === undefined) reject(new Error(`the broker ended without printing ${pattern}:\n${output}`));
        else resolve(line);
      };
      watchers.add(watch);
      watch();
    });
  await printed(/"listening"/);
  return {
    url: `http://127.0.0.1:${port}`,
    privateUrl: `http://127.0.0.1:${privatePort}`,
    pid: child.pid ?? 0,
    configFile,
    auditFile,
    output: () => output,
    printed,
    signal: (name) => child.kill(name),
    stopReading: () => child.stdout.destroy(),
    exited,
    close: async () => {
      if (!ended) child.kill("SIGTERM");
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
