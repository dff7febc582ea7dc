import { OpenAPIHono } from "@hono/zod-openapi";
import type { ExecutionContext } from "hono";

import type { Operation } from "../wire/messages.ts";
import { createBrokerServices, type BrokerDeps } from "./deps.ts";
import { answerProblem, edge, validationProblem } from "./edge.ts";
import { admitted, type BrokerEnv } from "./env.ts";
import { gate } from "./gate.ts";
import { BrokerProblem } from "./problem.ts";
import {
  KEK_ROUTES,
  livezRoute,
  OpenApiDocument,
  openapiRoute,
  statusRoute,
  unwrapRoute,
  wrapRoute,
} from "./routes.ts";
import { status } from "./status.ts";
import { unwrap } from "./unwrap.ts";
import { wrap } from "./wrap.ts";

/** The broker's public side, as any runtime serves it. */
export interface Broker {
  /** @param execution Workers' own, so that late outcomes are still recorded. */
  fetch(request: Request, env?: object, execution?: ExecutionContext): Promise<Response>;
}

const OPERATIONS: readonly Operation[] = ["wrap", "unwrap", "status"];

/** Each request: authenticate, authorize, record the intent, act, record the outcome, answer. */
export function createBroker(deps: BrokerDeps): Broker {
  const services = createBrokerServices(deps);
  const app = new OpenAPIHono<BrokerEnv>({
    defaultHook: (result) => {
      if (!result.success) throw validationProblem(result.error.issues);
    },
  });
  app.use(edge(services));
  for (const operation of OPERATIONS) {
    const route = KEK_ROUTES[operation];
    app.on(route.method, route.getRoutingPath(), gate(operation, services));
  }

  app.openapi(wrapRoute, async (c) => {
    const { principal, grant, context } = admitted(c);
    return c.json(await wrap(c.req.valid("json"), principal, grant, context, services), 200);
  });
  app.openapi(unwrapRoute, async (c) => {
    const { principal, grant, context } = admitted(c);
    return c.json(await unwrap(c.req.valid("json"), principal, grant, context, services), 200);
  });
  app.openapi(statusRoute, async (c) => {
    const { grant, context } = admitted(c);
    return c.json(await status(grant, context, services), 200);
  });
  app.openapi(livezRoute, (c) => {
    c.set("route", "livez");
    return c.json({ status: "ok" as const }, 200);
  });
  const description = lazily(() => OpenApiDocument.parse(describe(app)));
  app.openapi(openapiRoute, (c) => {
    c.set("route", "openapi");
    return c.json(description(), 200);
  });

  refuseOtherMethods(app);
  app.notFound((c) =>
    answerProblem(new BrokerProblem("NotFound", "There is nothing here: the paths are in /openapi.json."), c),
  );
  app.onError(answerProblem);
  return { fetch: async (request, env, execution) => app.fetch(request, env, execution) };
}

function refuseOtherMethods(app: OpenAPIHono<BrokerEnv>): void {
  for (const route of [...Object.values(KEK_ROUTES), livezRoute, openapiRoute]) {
    const allow = route.method === "get" ? "GET, HEAD" : route.method.toUpperCase();
    app.all(route.getRoutingPath(), () => {
      throw new BrokerProblem("MethodNotAllowed", `This path takes ${allow} only.`, { allow });
    });
  }
}

function describe(app: OpenAPIHono<BrokerEnv>): object {
  app.openAPIRegistry.registerComponent("securitySchemes", "bearer", {
    type: "http",
    scheme: "bearer",
    bearerFormat: "JWT",
    description:
      "A node assertion (typ kek-node+jwt) over this very request, or a token of a registered OIDC issuer.",
  });
  return app.getOpenAPI31Document({
    openapi: "3.1.0",
    info: {
      title: "kek-broker",
      version: "1",
      description: "Wraps and unwraps Kubernetes' data-encryption keys under KEKs in any mix of clouds.",
      license: { name: "Apache-2.0", url: "https://www.apache.org/licenses/LICENSE-2.0" },
    },
  });
}

function lazily<T>(make: () => T): () => T {
  let made: T | undefined;
  return () => (made ??= make());
}
