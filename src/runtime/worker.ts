import type { ExecutionContext } from "hono";

import type { Recorder } from "../audit/recorder.ts";
import type { Broker } from "../broker/app.ts";
import { logLine, type LogEvent } from "../broker/log.ts";
import { NO_METRICS } from "../broker/metrics.ts";
import { DocumentError } from "../wire/document.ts";
import { startInstance } from "./instance.ts";
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

/** One broker for each isolate. */
let broker: Promise<Broker> | undefined;

function startBroker(env: Env): Promise<Broker> {
  const platform = workerPlatform(env);
  return startInstance({
    readConfig: () => {
      if (env.KEK_BROKER_CONFIG !== undefined) return env.KEK_BROKER_CONFIG;
      throw new DocumentError([{ path: "", message: "the secret KEK_BROKER_CONFIG is not set" }]);
    },
    check: {
      allowDevelopmentKeys: false,
      listens: false,
      worker: { awsKeys: platform.awsCredentials !== undefined },
    },
    platform,
    recorder,
    log,
    metrics: NO_METRICS,
  });
}

// Workers take the handler as the module's default export.
export default {
  async fetch(request: Request, env: Env, execution: ExecutionContext): Promise<Response> {
    broker ??= startBroker(env);
    const answer = broker.then((started) => started.fetch(request, env, execution));
    // Else a caller that leaves takes its request with it as it is: no outcome is recorded, and its place among the
    // calls to a cloud, or a breaker's only probe, is never given back.
    execution.waitUntil(answer);
    return answer;
  },
};
