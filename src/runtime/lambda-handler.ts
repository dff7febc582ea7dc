import { isAbsolute, join } from "node:path";
import type { Writable } from "node:stream";

import { logLine, type LogEvent } from "../broker/log.ts";
import { NO_METRICS } from "../broker/metrics.ts";
import { BrokerProblem } from "../broker/problem.ts";
import { requestIdOf } from "../broker/request-context.ts";
import { readConfigFile } from "../config/load.ts";
import { settlesWithin } from "../wire/deadline.ts";
import { DocumentError } from "../wire/document.ts";
import { createAppendRecorder } from "./append-recorder.ts";
import { startInstance } from "./instance.ts";
import { answerOf, headersOf, type LambdaAnswer, requestOf } from "./lambda-event.ts";
import { createLambdaMetrics } from "./lambda-metrics.ts";
import { streamLineWriter } from "./line-writer.ts";
import { nodePrimitives } from "./node-primitives.ts";
import { nodePlatform } from "./platform-node.ts";
import { problemResponse } from "./problem-response.ts";
import { addressesOf } from "./resolve.ts";
import { warmUp } from "./warm-up.ts";

export interface LambdaOptions {
  readonly env: NodeJS.ProcessEnv;
  /** Takes records, log lines and metrics; Lambda keeps what is printed. */
  readonly out: Writable;
}

/** Never rejects: Lambda would print the error, and answer callers with its own. */
export type LambdaHandler = (event: unknown) => Promise<LambdaAnswer>;

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
  const serve = async (request: Request): Promise<Response> => {
    const late: Promise<unknown>[] = [];
    const response = await broker.fetch(request, undefined, {
      waitUntil: (work) => void late.push(work),
      passThroughOnException: () => {},
      props: {},
    });
    await settlesWithin(LATE_MS, Promise.allSettled(late));
    for (const line of metrics?.flush() ?? []) print(line);
    return response;
  };
  return async (event) => {
    const headers = headersOf(event);
    try {
      return await answerOf(await serve(requestOf(event, headers)), event);
    } catch (error) {
      const requestId = requestIdOf(headers.get("x-request-id") ?? undefined, randomBytes);
      if (!(error instanceof BrokerProblem)) log({ level: "error", event: "internal-error", requestId });
      return answerOf(problemResponse(asProblem(error), requestId), event);
    }
  };
}

function asProblem(error: unknown): BrokerProblem {
  return error instanceof BrokerProblem ? error : new BrokerProblem("Internal", "The broker failed.");
}

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
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
