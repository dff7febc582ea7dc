import { expect, it } from "vitest";

import { createLambdaMetrics } from "../../src/runtime/lambda-metrics.ts";

const NOW = 1_795_564_800_000;

function flushed(
  count: (metrics: ReturnType<typeof createLambdaMetrics>) => void,
): Record<string, unknown>[] {
  const metrics = createLambdaMetrics(() => NOW);
  count(metrics);
  return metrics.flush().map((line) => JSON.parse(line) as Record<string, unknown>);
}

it("adds counts up, keeps every time and the last of a level", () => {
  const call = { kek: "k", member: "aws", call: "wrap" };
  const lines = flushed((metrics) => {
    metrics.count("kek_broker_intents_failed_total", {});
    metrics.count("kek_broker_intents_failed_total", {});
    metrics.observe("kek_broker_provider_call_duration_seconds", 0.01, call);
    metrics.observe("kek_broker_provider_call_duration_seconds", 0.02, call);
    metrics.set("kek_broker_kek_state", 2, { kek: "k" });
    metrics.set("kek_broker_kek_state", 1, { kek: "k" });
  });
  expect(lines).toMatchObject([
    { kek_broker_intents_failed_total: 2 },
    { ...call, kek_broker_provider_call_duration_seconds: [0.01, 0.02] },
    { kek: "k", kek_broker_kek_state: 1 },
  ]);
  expect(lines.map(({ _aws }) => (_aws as { Timestamp: number }).Timestamp)).toEqual([NOW, NOW, NOW]);
});

it("forgets what it has told", () => {
  const metrics = createLambdaMetrics(() => NOW);
  metrics.count("kek_broker_intents_failed_total", {});
  metrics.flush();
  expect(metrics.flush()).toEqual([]);
});

it("gives CloudWatch no more values than a line may hold", () => {
  const [line] = flushed((metrics) => {
    for (let second = 0; second < 101; second++) {
      metrics.observe("kek_broker_request_duration_seconds", second, { route: "wrap" });
    }
  });
  expect(line?.["kek_broker_request_duration_seconds"]).toHaveLength(100);
});
