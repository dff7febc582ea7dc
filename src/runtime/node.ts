import { randomBytes } from "node:crypto";
import { unwatchFile, watchFile } from "node:fs";

import { createBroker } from "../broker/app.ts";
import { logLine, type LogEvent } from "../broker/log.ts";
import { createPrivateApp } from "../broker/private-app.ts";
import { readConfigFile } from "../config/load.ts";
import type { BrokerConfig } from "../config/schema.ts";
import { createAppendRecorder } from "./append-recorder.ts";
import { loadConfig, usesDevelopmentKeys, type LoadedConfig } from "./broker-state.ts";
import { openLineFile, streamLineWriter, type LineWriter } from "./line-writer.ts";
import { listen, readTls } from "./listen.ts";
import { nodePrimitives } from "./node-primitives.ts";
import { nodePlatform } from "./platform-node.ts";
import { createPrometheusMetrics } from "./prometheus.ts";
import { createReload } from "./reload.ts";
import { addressesOf } from "./resolve.ts";
import { warmUp } from "./warm-up.ts";

export interface BrokerOptions {
  readonly configPath: string;
  /** Whether development keys need no `allowDevelopmentKeys`. */
  readonly development: boolean;
  /** Takes log lines. */
  readonly print: (line: string) => void;
  /** Instead of what the file says. */
  readonly override?: Partial<Pick<BrokerConfig, "listen" | "private" | "audit">>;
}

export interface RunningBroker {
  readonly url: string;
  readonly privateUrl: string;
  /** Loads the configuration again; a broken one changes nothing, and is told. */
  reload(): Promise<void>;
  close(): Promise<void>;
}

/** Longer than a request can take. */
const DRAIN_MS = 3_000;
/** Stat polling survives the symlink swap of a mounted ConfigMap, where inotify loses the file. */
const WATCH_INTERVAL_MS = 1_000;

/**
 * Runs the broker on Node.
 * @throws DocumentError for a configuration with mistakes; the system's error for a file or address.
 */
export async function startBroker(options: BrokerOptions): Promise<RunningBroker> {
  const log = (event: LogEvent): void => options.print(logLine(event, Date.now()));
  const platform = nodePlatform(process.env);
  const load = async (previous?: LoadedConfig): Promise<LoadedConfig> =>
    loadConfig(
      await readConfigFile(options.configPath),
      { allowDevelopmentKeys: options.development, listens: true },
      platform,
      previous,
    );
  let loaded = await load();
  const settings = { ...loaded.state.config, ...options.override };
  const metrics = createPrometheusMetrics();
  const writer = await openAudit(settings.audit);
  const recorder = createAppendRecorder(writer, () => log({ level: "error", event: "audit-outcome-lost" }));
  const deps = {
    state: () => loaded.state,
    now: Date.now,
    random: (bytes: number) => new Uint8Array(randomBytes(bytes)),
    primitives: nodePrimitives,
    recorder,
    log,
    metrics,
    resolve: addressesOf,
  };
  const broker = createBroker(deps);
  await warmUp(loaded.state.providers, log);
  const tls = settings.tls === undefined ? undefined : readTls(settings.tls);
  const publicServer = await listen((request) => broker.fetch(request), settings.listen, tls);
  let draining = false;
  const privateApp = createPrivateApp({
    ...deps,
    metricsText: () => metrics.text(),
    metricsType: metrics.contentType,
    ready: () => !draining,
  });
  const privateServer = await listen((request) => privateApp.fetch(request), settings.private);

  const tellKeys = (): void => {
    if (usesDevelopmentKeys(loaded.state.config)) log({ level: "warn", event: "development-keys" });
  };
  const reload = createReload({
    load,
    current: () => loaded,
    apply: (next) => {
      loaded = next;
      tellKeys();
      // Behind: nothing may keep a revocation out.
      void warmUp(next.state.providers, log);
    },
    server: publicServer,
    writer,
    metrics,
    log,
  });
  const watched = [options.configPath, ...(settings.tls === undefined ? [] : Object.values(settings.tls))];
  const onChange = (): void => void reload();
  for (const file of watched) watchFile(file, { interval: WATCH_INTERVAL_MS, persistent: false }, onChange);

  tellKeys();
  log({
    level: "info",
    event: "listening",
    url: publicServer.url,
    privateUrl: privateServer.url,
    config: loaded.state.digest,
  });
  return {
    url: publicServer.url,
    privateUrl: privateServer.url,
    reload,
    close: async () => {
      draining = true;
      log({ level: "info", event: "stopping" });
      for (const file of watched) unwatchFile(file, onChange);
      await publicServer.close(DRAIN_MS);
      await privateServer.close(0);
      await writer.close();
    },
  };
}

function openAudit(audit: BrokerConfig["audit"]): Promise<LineWriter> {
  return "file" in audit ? openLineFile(audit.file) : Promise.resolve(streamLineWriter(process.stdout));
}
