import type { LogEvent } from "../broker/log.ts";
import type { Metrics } from "../broker/metrics.ts";
import type { BrokerConfig } from "../config/schema.ts";
import { DocumentError } from "../wire/document.ts";
import type { LoadedConfig } from "./broker-state.ts";
import type { LineWriter } from "./line-writer.ts";
import { readTls, type Listening } from "./listen.ts";

export interface ReloadDeps {
  readonly load: (previous: LoadedConfig) => Promise<LoadedConfig>;
  readonly current: () => LoadedConfig;
  readonly apply: (next: LoadedConfig) => void;
  readonly server: Pick<Listening, "useTls">;
  readonly writer: Pick<LineWriter, "reopen">;
  readonly metrics: Metrics;
  readonly log: (event: LogEvent) => void;
}

/** What is bound once, at start. */
const NEEDS_RESTART = ["listen", "private", "tls", "audit"] as const;

/**
 * Loads the configuration, its certificate and the record's file again, all or nothing for the first two. Never
 * rejects: whatever is wrong is told, and what was there serves on. The record's file comes last and is not waited
 * for, so that a disk that hangs cannot keep a revocation out.
 */
export function createReload(deps: ReloadDeps): () => Promise<void> {
  const { load, current, apply, server, writer, metrics, log } = deps;
  const started = current().state.config;

  const reloadConfig = async (): Promise<void> => {
    const previous = current();
    const next = await load(previous);
    const tls = started.tls === undefined ? undefined : readTls(started.tls);
    apply(next);
    if (tls !== undefined) server.useTls(tls);
    const changed = next.state.digest !== previous.state.digest;
    metrics.count("kek_broker_config_reloads_total", { result: changed ? "ok" : "unchanged" });
    log({ level: "info", event: "config-loaded", config: next.state.digest });
    const ignored = NEEDS_RESTART.filter((field) => differs(started, next.state.config, field));
    if (ignored.length > 0) log({ level: "warn", event: "restart-needed", reason: ignored.join(", ") });
  };

  const reload = async (): Promise<void> => {
    try {
      await reloadConfig();
    } catch (error) {
      metrics.count("kek_broker_config_reloads_total", { result: "refused" });
      log({ level: "error", event: "config-refused", error: reasonOf(error) });
    }
    writer.reopen().catch((error: unknown) => {
      log({ level: "error", event: "audit-reopen-failed", error: reasonOf(error) });
    });
  };

  // One after the other: a reload that began later must not be overtaken by one that began earlier.
  let reloading = Promise.resolve();
  return () => (reloading = reloading.then(reload));
}

function differs(old: BrokerConfig, next: BrokerConfig, field: (typeof NEEDS_RESTART)[number]): boolean {
  return JSON.stringify(old[field]) !== JSON.stringify(next[field]);
}

function reasonOf(error: unknown): string {
  if (error instanceof DocumentError) return error.message;
  return error instanceof Error && "code" in error ? String(error.code) : "the file could not be used";
}
