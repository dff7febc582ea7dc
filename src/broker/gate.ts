import type { MiddlewareHandler } from "hono";

import { startDeadline } from "../wire/deadline.ts";
import type { Operation } from "../wire/messages.ts";
import { authenticate, readToken } from "./authenticate.ts";
import { accessDenied, authorize, requireNotRevoked } from "./authorize.ts";
import { readBody, requireJson } from "./body.ts";
import type { BrokerServices } from "./deps.ts";
import type { BrokerEnv, BrokerRequest } from "./env.ts";
import { timeoutOf, type RequestContext } from "./request-context.ts";

/**
 * Lets a request through to its operation: authenticated, within its rates, authorized, its body read. What an
 * unknown caller costs is bounded: 64 KiB of body, drained, and at most four signatures.
 */
export function gate(operation: Operation, services: BrokerServices): MiddlewareHandler<BrokerEnv> {
  return async (c, next) => {
    c.set("route", operation);
    const context = contextOf(c, services);
    c.set("context", context);
    try {
      await admit(operation, c, context, services);
      await next();
    } finally {
      context.deadline.clear();
    }
  };
}

async function admit(
  operation: Operation,
  c: BrokerRequest,
  context: RequestContext,
  services: BrokerServices,
): Promise<void> {
  const { config } = context.state;
  const token = readToken(c.req.header("authorization"));
  const body = await readBody(c.req.raw, context.deadline.signal);
  const presented = { token, method: c.req.method, path: pathAsSent(c.req.url), body };
  const principal = await authenticate(presented, context, services);
  c.set("principal", principal);
  requireNotRevoked(principal, config.revoked);
  services.rateLimiter.take(principal, config.rateLimit);
  const decision = authorize(config, principal.cluster, operation, c.req.param("kek") ?? "");
  if (!decision.allowed) throw accessDenied(decision.reason);
  c.set("grant", decision.grant);
  if (operation === "status") return;
  requireJson(c.req.header("content-type"));
  // Read once: the validators find in Hono's cache the very bytes that were signed.
  Object.assign(c.req.bodyCache, { text: Promise.resolve(new TextDecoder().decode(body)) });
}

/** @throws BrokerProblem `Validation` for a bad `X-Timeout-Ms`. */
function contextOf(c: BrokerRequest, { state }: BrokerServices): RequestContext {
  return {
    requestId: c.get("requestId"),
    traceparent: c.get("traceparent"),
    state: state(),
    deadline: startDeadline(timeoutOf(c.req.header("x-timeout-ms"))),
    after: (work) => keepAlive(c, work),
  };
}

/** Workers drop what runs on after the answer unless they are told; elsewhere there is no such context. */
function keepAlive(c: BrokerRequest, work: Promise<unknown>): void {
  try {
    c.executionCtx.waitUntil(work);
  } catch {
    // It runs on by itself.
  }
}

/** Percent signs and all: what the caller signed. */
function pathAsSent(url: string): string {
  const afterScheme = url.indexOf("/", url.indexOf("://") + 3);
  return url.slice(afterScheme).replace(/[?#].*$/, "");
}
