import type { Context } from "hono";

import type { Operation } from "../wire/messages.ts";
import type { Grant } from "./authorize.ts";
import type { Principal } from "./principal.ts";
import type { RequestContext } from "./request-context.ts";

/** What handlers of one request hand to the next. */
export interface BrokerEnv {
  Variables: {
    requestId: string;
    traceparent: string | undefined;
    route: Operation | "livez" | "openapi" | "other";
    /** From here on: once the caller's time has begun, it is known, and it is allowed. */
    context?: RequestContext;
    principal?: Principal;
    grant?: Grant;
  };
}

export type BrokerRequest = Context<BrokerEnv>;

/** What every handler behind the gate has. */
export interface Admitted {
  readonly context: RequestContext;
  readonly principal: Principal;
  readonly grant: Grant;
}

/** @throws TypeError when a route was registered without its gate: a defect. */
export function admitted(c: BrokerRequest): Admitted {
  const [context, principal, grant] = [c.get("context"), c.get("principal"), c.get("grant")];
  if (context === undefined || principal === undefined || grant === undefined) {
    throw new TypeError("a route without its gate");
  }
  return { context, principal, grant };
}
