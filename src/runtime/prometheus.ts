import { Counter, Gauge, Histogram, Registry } from "prom-client";

import { COUNTERS, GAUGES, HISTOGRAMS, type Metrics } from "../broker/metrics.ts";

/** The broker's metrics in Prometheus' text format. */
export interface PrometheusMetrics extends Metrics {
  readonly contentType: string;
  text(): Promise<string>;
}

/** Makes every metric at once, so that a scrape shows them before their first event. */
export function createPrometheusMetrics(): PrometheusMetrics {
  const registry = new Registry();
  const registers = [registry];
  const made = <Definition extends { readonly help: string; readonly labels: readonly string[] }, Metric>(
    definitions: Readonly<Record<string, Definition>>,
    make: (configuration: Definition & { name: string; labelNames: readonly string[] }) => Metric,
  ): Map<string, Metric> =>
    new Map(
      Object.entries(definitions).map(([name, definition]) => [
        name,
        make({ ...definition, name, labelNames: definition.labels }),
      ]),
    );
  const counters = made(
    COUNTERS,
    ({ name, help, labelNames }) => new Counter({ name, help, labelNames, registers }),
  );
  const gauges = made(
    GAUGES,
    ({ name, help, labelNames }) => new Gauge({ name, help, labelNames, registers }),
  );
  const histograms = made(
    HISTOGRAMS,
    ({ name, help, labelNames, buckets }) =>
      new Histogram({ name, help, labelNames, registers, buckets: [...buckets] }),
  );
  return {
    count: (name, labels) => counters.get(name)?.inc({ ...labels }),
    observe: (name, seconds, labels) => histograms.get(name)?.observe({ ...labels }, seconds),
    set: (name, value, labels) => gauges.get(name)?.set({ ...labels }, value),
    contentType: registry.contentType,
    text: () => registry.metrics(),
  };
}
