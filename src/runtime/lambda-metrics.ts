import type { Metrics } from "../broker/metrics.ts";

/** What is counted, as lines in CloudWatch's embedded metric format. */
export interface LambdaMetrics extends Metrics {
  /** One line for each set of labels that something was counted under since the last time. */
  flush(): string[];
}

type Unit = "Count" | "Seconds" | "None";

interface Measured {
  readonly labels: Readonly<Record<string, string>>;
  readonly values: Map<string, { readonly unit: Unit; values: number[] }>;
}

const NAMESPACE = "kek-broker";
/** CloudWatch takes no more values of one metric in a line. */
const MAX_VALUES = 100;

/** Keeps counts until they are flushed: nobody can scrape a Lambda function. `now` is in milliseconds since the epoch. */
export function createLambdaMetrics(now: () => number): LambdaMetrics {
  let measured = new Map<string, Measured>();
  const add = (
    name: string,
    unit: Unit,
    labels: Measured["labels"],
    merge: (values: number[]) => number[],
  ): void => {
    const key = JSON.stringify(labels);
    const line = measured.get(key) ?? { labels, values: new Map() };
    measured.set(key, line);
    const metric = line.values.get(name) ?? { unit, values: [] };
    line.values.set(name, metric);
    metric.values = merge(metric.values);
  };
  return {
    count: (name, labels) => add(name, "Count", labels, ([total = 0]) => [total + 1]),
    observe: (name, seconds, labels) =>
      add(name, "Seconds", labels, (values) => [...values, seconds].slice(-MAX_VALUES)),
    set: (name, value, labels) => add(name, "None", labels, () => [value]),
    flush: () => {
      const lines = [...measured.values()].map((line) => lineOf(line, now()));
      measured = new Map();
      return lines;
    },
  };
}

function lineOf({ labels, values }: Measured, time: number): string {
  const metrics = [...values].map(([Name, { unit }]) => ({ Name, Unit: unit }));
  const fields = [...values].map(
    ([
      name,
      {
        values: [first, ...rest],
      },
    ]) => [name, rest.length === 0 ? first : [first, ...rest]],
  );
  return JSON.stringify({
    _aws: {
      Timestamp: time,
      CloudWatchMetrics: [{ Namespace: NAMESPACE, Dimensions: [Object.keys(labels)], Metrics: metrics }],
    },
    ...labels,
    ...Object.fromEntries(fields),
  });
}
