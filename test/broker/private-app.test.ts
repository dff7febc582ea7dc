import { describe, expect, it } from "vitest";

import { createPrivateApp } from "../../src/broker/private-app.ts";
import { COUNTERS, GAUGES, HISTOGRAMS } from "../../src/broker/metrics.ts";
import { fakeProvider } from "./fake-provider.ts";
import { configInput, DIGEST, KEK, stateOf } from "./fixture.ts";

describe("the private port", () => {
  const provider = fakeProvider();
  const deps = {
    state: () => stateOf(configInput(), new Map([[KEK, new Map([["dev", provider]])]])),
    metricsText: async () => "kek_broker_requests_total 1\n",
    metricsType: "text/plain; version=0.0.4",
  };

  it("is ready with a configuration, and asks no cloud", async () => {
    const answer = await createPrivateApp(deps).request("/readyz");
    expect([answer.status, await answer.json()]).toEqual([200, { ready: true, config: DIGEST }]);
    expect(provider.calls).toEqual([]);
  });

  it("is not ready while it drains", async () => {
    expect((await createPrivateApp({ ...deps, ready: () => false }).request("/readyz")).status).toBe(503);
  });

  it("tells metrics in their own type", async () => {
    const answer = await createPrivateApp(deps).request("/metrics");
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4");
    expect(await answer.text()).toBe("kek_broker_requests_total 1\n");
  });

  it.each(["/", "/v1/keks/prod-secrets", "/livez"])("has nothing at %s", async (path) => {
    expect((await createPrivateApp(deps).request(path)).status).toBe(404);
  });
});

it("metrics are named as Prometheus wants", () => {
  for (const name of Object.keys(COUNTERS)) expect(name).toMatch(/^kek_broker_[a-z_]+_total$/);
  for (const name of Object.keys(HISTOGRAMS)) expect(name).toMatch(/^kek_broker_[a-z_]+_seconds$/);
  for (const name of Object.keys(GAUGES)) expect(name).toMatch(/^kek_broker_[a-z_]+(?<!_total)$/);
});
