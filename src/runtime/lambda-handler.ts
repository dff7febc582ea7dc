import { Hono } from "hono";
import { handle } from "hono/aws-lambda";
import { isAbsolute, join } from "node:path";
import type { Writable } from "node:stream";

import { logLine, type LogEvent } from "../broker/log.ts";
import { NO_METRICS } from "../broker/metrics.ts";
import { readConfigFile } from "../config/load.ts";
import { settlesWithin } from "../wire/deadline.ts";
import { DocumentError } from "../wire/document.ts";
import { createAppendRecorder } from "./append-recorder.ts";
import { startInstance } from "./instance.ts";
import { createLambdaMetrics } from "./lambda-metrics.ts";
import { streamLineWriter } from "./line-writer.ts";
import { nodePrimitives } from "./node-primitives.ts";
import { nodePlatform } from "./platform-node.ts";
import { addressesOf } from "./resolve.ts";
import { warmUp } from "./warm-up.ts";

export interface LambdaOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Takes records, log lines and metrics; Lambda keeps what is printed. */
  readonly out: Writable;
}

export type LambdaHandler = ReturnType<typeof handle>;

const CONFIG_TEXT = "KEK_BROKER_CONFIG";
const CONFIG_FILE = "KEK_BROKER_CONFIG_FILE";
/** Where neither is set: a file beside the handler. */
const PACKAGED_FILE = "broker.yaml";
/** What an answer waits for records that were late already: once it has left, the process is frozen. */
const LATE_MS = 500;

/**
 * The broker as a Lambda function, for events of a function URL or an API Gateway (payload 2.0). What such an event
 * says of the caller's address or name is not used. A broken configuration answers every request.
 */
export async function createLambdaHandler({ env, out }: LambdaOptions): Promise<LambdaHandler> {
  const print = (line: string): void => void out.write(`${line}\n`);
  const log = (event: LogEvent): void => print(logLine(event, Date.now()));
  const onLost = (): void => log({ level: "error", event: "audit-outcome-lost" });
  const metrics = env["KEK_BROKER_METRICS"] === "emf" ? createLambdaMetrics(Date.now) : undefined;
  const broker = await startInstance({
    readConfig: () => readConfig(env),
    check: { allowDevelopmentKeys: false, listens: false },
    platform: nodePlatform(env),
    recorder: createAppendRecorder(streamLineWriter(out), onLost),
    log,
    metrics: metrics ?? NO_METRICS,
    primitives: nodePrimitives,
    resolve: addressesOf,
    prepare: (providers) => warmUp(providers, log),
  });
  const app = new Hono();
  app.all("*", async ({ req }) => {
    const late: Promise<unknown>[] = [];
    const response = await broker.fetch(req.raw, undefined, {
      waitUntil: (work) => void late.push(work),
      passThroughOnException: () => {},
      props: {},
    });
    await settlesWithin(LATE_MS, Promise.allSettled(late));
    for (const line of metrics?.flush() ?? []) print(line);
    return response;
  });
  return handle(app);
}

/** @throws DocumentError when it is in no place, in two, or cannot be read. */
async function readConfig(env: NodeJS.ProcessEnv): Promise<string> {
  const { [CONFIG_TEXT]: text, [CONFIG_FILE]: named } = env;
  if (text !== undefined && named !== undefined)
    throw refused(`set ${CONFIG_TEXT} or ${CONFIG_FILE}, not both`);
  if (text !== undefined) return text;
  const file = named ?? PACKAGED_FILE;
  try {
    return await readConfigFile(isAbsolute(file) ? file : join(env["LAMBDA_TASK_ROOT"] ?? ".", file));
  } catch (error) {
    if (error instanceof DocumentError) throw error;
    const cause = error instanceof Error && "code" in error ? String(error.code) : "unreadable";
    throw refused(`${file} in the function's package: ${cause} (or set ${CONFIG_TEXT} or ${CONFIG_FILE})`);
  }
}

function refused(message: string): DocumentError {
  return new DocumentError([{ path: "", message }]);
}
