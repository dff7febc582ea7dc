import type { ExecutionContext } from "hono";

import type { Recorder } from "../audit/recorder.ts";
import { createBroker, type Broker } from "../broker/app.ts";
import { logLine, type LogEvent } from "../broker/log.ts";
import { NO_METRICS } from "../broker/metrics.ts";
import { DocumentError } from "../wire/document.ts";
import { loadConfig, usesDevelopmentKeys } from "./broker-state.ts";

/** What wrangler.toml binds. */
export interface Env {
  /** The configuration's text, YAML or JSON: a secret, because a development KEK may be in it. */
  readonly KEK_BROKER_CONFIG?: string;
}

/** Workers keep what is printed (Logpush, tail workers); a line is handed over when `console.log` returns. */
const recorder: Recorder = {
  intent: (entry) => Promise.resolve(console.log(JSON.stringify(entry))),
  outcome: (entry) => Promise.resolve(console.log(JSON.stringify(entry))),
};

const log = (event: LogEvent): void => console.log(logLine(event, Date.now()));

/** One broker for each isolate: its configuration changes only with a new deployment. */
let broker: Promise<Broker> | undefined;

async function startBroker({ KEK_BROKER_CONFIG: text }: Env): Promise<Broker> {
  if (text === undefined) {
    throw new DocumentError([{ path: "", message: "the secret KEK_BROKER_CONFIG is not set" }]);
  }
  const { state } = await loadConfig(text, { allowDevelopmentKeys: false, listens: false });
  if (usesDevelopmentKeys(state.config)) log({ level: "warn", event: "development-keys" });
  return createBroker({
    state: () => state,
    now: Date.now,
    random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    recorder,
    log,
    metrics: NO_METRICS,
  });
}

// Workers take the handler as the module's default export.
export default {
  async fetch(request: Request, env: Env, execution: ExecutionContext): Promise<Response> {
    try {
      broker ??= startBroker(env);
      return await (await broker).fetch(request, env, execution);
    } catch (error) {
      broker = undefined;
      const reason = error instanceof DocumentError ? error.message : "the broker could not start";
      log({ level: "error", event: "config-refused", error: reason });
      return new Response("The broker's configuration is refused: see its log.\n", { status: 503 });
    }
  },
};
