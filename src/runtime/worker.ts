import type { ExecutionContext } from "hono";

import type { Recorder } from "../audit/recorder.ts";
import { createBroker, type Broker } from "../broker/app.ts";
import { logLine, type LogEvent } from "../broker/log.ts";
import { NO_METRICS } from "../broker/metrics.ts";
import { BrokerProblem, problemBody } from "../broker/problem.ts";
import { DocumentError } from "../wire/document.ts";
import { PROBLEM_MEDIA_TYPE, statusOf } from "../wire/problem.ts";
import { loadConfig, usesDevelopmentKeys } from "./broker-state.ts";
import { workerPlatform } from "./platform-worker.ts";

/** What wrangler.toml binds. */
export interface Env {
  /** The configuration's text, YAML or JSON: a secret, because a development KEK may be in it. */
  readonly KEK_BROKER_CONFIG?: string;
  /** The private key of `identity.issuer`, as `kek-broker issuer` wrote it: a secret. */
  readonly KEK_BROKER_SIGNING_KEY?: string;
  /** For AWS members without `federation`: secrets. */
  readonly AWS_ACCESS_KEY_ID?: string;
  readonly AWS_SECRET_ACCESS_KEY?: string;
}

/** Workers keep what is printed (Logpush, tail workers); a line is handed over when `console.log` returns. */
const recorder: Recorder = {
  intent: (entry) => Promise.resolve(console.log(JSON.stringify(entry))),
  outcome: (entry) => Promise.resolve(console.log(JSON.stringify(entry))),
};

const log = (event: LogEvent): void => console.log(logLine(event, Date.now()));

/** One broker for each isolate: its configuration changes only with a new deployment, and so does a mistake in it. */
let broker: Promise<Broker | DocumentError> | undefined;

async function startBroker(env: Env): Promise<Broker | DocumentError> {
  try {
    const { KEK_BROKER_CONFIG: text } = env;
    if (text === undefined) {
      throw new DocumentError([{ path: "", message: "the secret KEK_BROKER_CONFIG is not set" }]);
    }
    const platform = workerPlatform(env);
    const worker = { awsKeys: platform.awsCredentials !== undefined };
    const { state } = await loadConfig(
      text,
      { allowDevelopmentKeys: false, listens: false, worker },
      platform,
    );
    if (usesDevelopmentKeys(state.config)) log({ level: "warn", event: "development-keys" });
    return createBroker({
      state: () => state,
      now: Date.now,
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
      recorder,
      log,
      metrics: NO_METRICS,
    });
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    log({ level: "error", event: "config-refused", error: error.message });
    return error;
  }
}

/** To callers no more than that it is not their fault; the mistakes are in the log. */
function refusal(): Response {
  const problem = new BrokerProblem("Internal", "This broker's configuration is refused: its log says why.");
  const requestId = crypto.randomUUID();
  return new Response(JSON.stringify(problemBody(problem, requestId)), {
    status: statusOf(problem.code),
    headers: { "Content-Type": PROBLEM_MEDIA_TYPE, "Cache-Control": "no-store", "X-Request-Id": requestId },
  });
}

// Workers take the handler as the module's default export.
export default {
  async fetch(request: Request, env: Env, execution: ExecutionContext): Promise<Response> {
    broker ??= startBroker(env);
    const started = await broker;
    return started instanceof DocumentError ? refusal() : started.fetch(request, env, execution);
  },
};
