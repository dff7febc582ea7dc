import { createRoute, type RouteConfig } from "@hono/zod-openapi";
import * as z from "zod";

import { KekStatus, UnwrapRequest, UnwrapResponse, WrapRequest, WrapResponse } from "../wire/messages.ts";
import { MAX_TIMEOUT_MS } from "../wire/limits.ts";
import { Problem, PROBLEM_MEDIA_TYPE, statusOf, type ProblemCode } from "../wire/problem.ts";
import { LARGEST_TIMEOUT_MS } from "./request-context.ts";

/** The HTTP API, as it is served and as it is published in /openapi.json. */

type Parameters = NonNullable<RouteConfig["parameters"]>;

const BODY_CODES = ["PayloadTooLarge", "UnsupportedMediaType"] as const;
const ACT_CODES = ["KeyUnavailable", "UnsupportedOperation", "AuditUnavailable"] as const;
const CALLER_CODES = [
  "Validation",
  "AuthenticationFailed",
  "ClockSkew",
  "AccessDenied",
  "Revoked",
  "NotFound",
  "Throttled",
  "Internal",
  "DependencyTimeout",
] as const;

/** Read by the gate, so only described here: a schema in `request` would have each of them validated once more. */
const parameters: Parameters = [
  {
    name: "kek",
    in: "path",
    required: true,
    description: "The KEK's name in the broker's configuration.",
    schema: { type: "string" },
    example: "prod-secrets",
  },
  {
    name: "x-timeout-ms",
    in: "header",
    description: `Milliseconds the caller has left; at most ${MAX_TIMEOUT_MS}, which is also the default.`,
    schema: { type: "integer", minimum: 1, maximum: LARGEST_TIMEOUT_MS },
  },
  {
    name: "x-request-id",
    in: "header",
    description: "Returned and logged; another is made if it is over 128 characters or unfit for a log.",
    schema: { type: "string" },
  },
  {
    name: "traceparent",
    in: "header",
    description: "W3C Trace Context; logged.",
    schema: { type: "string" },
  },
];

const security = [{ bearer: [] }];

export const wrapRoute = createRoute({
  method: "post",
  path: "/v1/keks/{kek}/wrap",
  operationId: "wrap",
  summary: "Seal a DEK under a KEK, for the caller's cluster",
  security,
  parameters,
  request: { body: jsonBody(named("WrapRequest", WrapRequest)) },
  responses: {
    200: json("The sealed DEK.", named("WrapResponse", WrapResponse)),
    ...problems([...CALLER_CODES, ...BODY_CODES, ...ACT_CODES]),
  },
});

export const unwrapRoute = createRoute({
  method: "post",
  path: "/v1/keks/{kek}/unwrap",
  operationId: "unwrap",
  summary: "Open a DEK that the caller's cluster had sealed; may be repeated",
  security,
  parameters,
  request: { body: jsonBody(named("UnwrapRequest", UnwrapRequest)) },
  responses: {
    200: json("The DEK.", named("UnwrapResponse", UnwrapResponse)),
    ...problems([
      ...CALLER_CODES,
      ...BODY_CODES,
      ...ACT_CODES,
      "InvalidCiphertext",
      "SealedByAnotherCluster",
    ]),
  },
});

export const statusRoute = createRoute({
  method: "get",
  path: "/v1/keks/{kek}",
  operationId: "status",
  summary: "A KEK's key id, state and limits",
  security,
  parameters,
  responses: {
    200: json("The KEK as this instance sees it.", named("KekStatus", KekStatus)),
    ...problems([...CALLER_CODES]),
  },
});

export const livezRoute = createRoute({
  method: "get",
  path: "/livez",
  operationId: "livez",
  summary: "Whether the process serves; asks nobody",
  responses: { 200: json("It does.", z.object({ status: z.literal("ok") }).openapi("Live")) },
});

/** As much of the description as is promised. */
export const OpenApiDocument = z.looseObject({ openapi: z.literal("3.1.0") });

export const openapiRoute = createRoute({
  method: "get",
  path: "/openapi.json",
  operationId: "openapi",
  summary: "This description",
  responses: { 200: json("OpenAPI 3.1.", OpenApiDocument.openapi("OpenApi")) },
});

/** By the operation that a caller must be allowed. */
export const KEK_ROUTES = { wrap: wrapRoute, unwrap: unwrapRoute, status: statusRoute } as const;

/** A copy, because zod gives `openapi` only to schemas made after the library was loaded, and wire's may be older. */
function named<Schema extends z.ZodType>(name: string, schema: Schema): Schema {
  return schema.clone().openapi(name);
}

function json<Schema extends z.ZodType>(description: string, schema: Schema) {
  return { description, content: { "application/json": { schema } } };
}

/** `required`, or an empty body would pass as a valid one. */
function jsonBody<Schema extends z.ZodType>(schema: Schema) {
  return { required: true, content: { "application/json": { schema } } };
}

/** Problem answers by status, each with the codes it can have. */
function problems(codes: readonly ProblemCode[]) {
  const statuses = new Map<number, ProblemCode[]>();
  for (const code of codes) statuses.set(statusOf(code), [...(statuses.get(statusOf(code)) ?? []), code]);
  return Object.fromEntries(
    [...statuses].map(([status, some]) => {
      const schema = Problem.extend({ status: z.literal(status), code: z.enum(some) });
      return [status, { description: some.join(", "), content: { [PROBLEM_MEDIA_TYPE]: { schema } } }];
    }),
  );
}
