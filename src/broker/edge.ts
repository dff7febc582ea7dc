import type { MiddlewareHandler } from "hono";
import { HTTPException } from "hono/http-exception";
import type * as z from "zod";

import { PROBLEM_MEDIA_TYPE, statusOf } from "../wire/problem.ts";
import { drainBody, unsupportedMediaType } from "./body.ts";
import type { BrokerServices } from "./deps.ts";
import type { BrokerEnv, BrokerRequest } from "./env.ts";
import type { LogEvent } from "./log.ts";
import { BrokerProblem, problemBody, problemHeaders } from "./problem.ts";
import { requestIdOf, traceparentOf } from "./request-context.ts";
import { toProblem } from "./to-problem.ts";

/** What every request gets: an id, the headers of every answer, one log line, its counts. */
export function edge(services: BrokerServices): MiddlewareHandler<BrokerEnv> {
  return async (c, next) => {
    const start = performance.now();
    c.set("requestId", requestIdOf(c.req.header("x-request-id"), services.random));
    c.set("traceparent", traceparentOf(c.req.header("traceparent")));
    c.set("route", "other");
    c.header("X-Request-Id", c.get("requestId"));
    c.header("Cache-Control", "no-store");
    c.header("X-Content-Type-Options", "nosniff");
    // The shim sets a wrong clock right by it.
    c.header("Date", new Date(services.now()).toUTCString());
    await next();
    if (c.res.status >= 400) await drainBody(c.req.raw);
    report(c, performance.now() - start, services);
  };
}

/** Any failure as problem+json. */
export function answerProblem(error: unknown, c: BrokerRequest): Response {
  const problem = asProblem(error);
  const body = JSON.stringify(problemBody(problem, c.get("requestId")));
  return c.body(body, statusOf(problem.code), {
    ...problemHeaders(problem),
    "Content-Type": PROBLEM_MEDIA_TYPE,
  });
}

/** A request that does not fit its schema, named by place and rule; what it held is not repeated. */
export function validationProblem(issues: readonly z.core.$ZodIssue[]): BrokerProblem {
  const told = issues.slice(0, 3).map((issue) => {
    const path = issue.path.map(String).join(".") || "body";
    return issue.code === "unrecognized_keys" ? `${path}: has an unknown field` : `${path}: ${issue.message}`;
  });
  return new BrokerProblem("Validation", `${told.join("; ")}. See /openapi.json.`);
}

function asProblem(error: unknown): BrokerProblem {
  if (error instanceof HTTPException && error.status === 400) {
    return new BrokerProblem("Validation", "The body is not JSON. See /openapi.json.");
  }
  // The router is stricter about a type's parameters than the gate.
  if (error instanceof HTTPException && error.status === 415) return unsupportedMediaType();
  return toProblem(error, false);
}

function report(c: BrokerRequest, durationMs: number, { metrics, log }: BrokerServices): void {
  const route = c.get("route");
  const problem = c.error === undefined ? undefined : asProblem(c.error);
  const code = problem?.code ?? "ok";
  metrics.count("kek_broker_requests_total", { route, code });
  metrics.observe("kek_broker_request_duration_seconds", durationMs / 1000, { route });
  if (problem !== undefined) countRefusal(c, problem, metrics);
  if (route === "livez" && problem === undefined) return;
  log({ ...factsOf(c, problem), status: c.res.status, durationMs: Math.round(durationMs * 100) / 100 });
  if (problem?.code === "Internal") {
    log({
      level: "error",
      event: "internal-error",
      requestId: c.get("requestId"),
      error: placeOf(problem.cause),
    });
  }
}

function factsOf(c: BrokerRequest, problem: BrokerProblem | undefined): LogEvent {
  const principal = c.get("principal");
  return {
    level: problem === undefined ? "info" : problem.code === "Internal" ? "error" : "warn",
    event: "request",
    requestId: c.get("requestId"),
    traceparent: c.get("traceparent"),
    method: c.req.method,
    route: c.get("route"),
    code: problem?.code,
    reason: problem?.reason,
    cluster: principal?.cluster,
    principal: principal?.subject,
    kek: c.get("grant")?.name,
    error: problem?.cause instanceof Error && problem.code !== "Internal" ? problem.cause.message : undefined,
  };
}

function countRefusal(c: BrokerRequest, { reason }: BrokerProblem, metrics: BrokerServices["metrics"]): void {
  if (reason === undefined) return;
  const cluster = c.get("principal")?.cluster;
  if (cluster === undefined) metrics.count("kek_broker_authentication_failures_total", { reason });
  else if (reason === "principal-limit" || reason === "cluster-limit") {
    metrics.count("kek_broker_rate_limited_total", { cluster, scope: reason });
  } else metrics.count("kek_broker_denials_total", { cluster, reason });
}

/** Where an unexpected error came from, without its message: engines quote what they could not read. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return typeof error;
  const frames = (error.stack ?? "").split("\n").filter((line) => line.startsWith("    at "));
  return [error.name, ...frames.slice(0, 5).map((line) => line.trim())].join(" ");
}
