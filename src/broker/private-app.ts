import { Hono } from "hono";

import type { BrokerState } from "./state.ts";

/** What the private port tells. */
export interface PrivateDeps {
  readonly state: () => BrokerState;
  /** Metrics in their text format, and its media type. */
  readonly metricsText: () => Promise<string>;
  readonly metricsType: string;
  /** False while the process drains. */
  readonly ready?: () => boolean;
}

/** For the platform, not for callers: `/readyz`, which asks no cloud, and `/metrics`. */
export function createPrivateApp({ state, metricsText, metricsType, ready }: PrivateDeps): Hono {
  const app = new Hono();
  app.use(async (c, next) => {
    c.header("Cache-Control", "no-store");
    await next();
  });
  app.get("/readyz", (c) =>
    ready?.() === false ? c.json({ ready: false }, 503) : c.json({ ready: true, config: state().digest }),
  );
  app.get("/metrics", async (c) => c.body(await metricsText(), 200, { "Content-Type": metricsType }));
  return app;
}
