/**
 * What the broker counts. Labels hold names from the configuration and closed sets, never text a caller chose, so
 * their number is bounded.
 */
export const COUNTERS = {
  kek_broker_requests_total: {
    help: "Requests answered, by route and problem code (ok when there was none).",
    labels: ["route", "code"],
  },
  kek_broker_authentication_failures_total: {
    help: "Requests by nobody known, by reason.",
    labels: ["reason"],
  },
  kek_broker_denials_total: {
    help: "Requests of authenticated callers that were denied, by cluster and reason.",
    labels: ["cluster", "reason"],
  },
  kek_broker_rate_limited_total: {
    help: "Requests over a rate limit, by cluster and the limit's scope.",
    labels: ["cluster", "scope"],
  },
  kek_broker_provider_calls_total: {
    help: "Calls to members' clouds, by result (ok or the error's code).",
    labels: ["kek", "member", "call", "result"],
  },
  kek_broker_degraded_wraps_total: {
    help: "Wraps that not every member took part in.",
    labels: ["kek"],
  },
  kek_broker_intents_failed_total: {
    help: "Acts refused because their intent could not be recorded.",
    labels: [],
  },
  kek_broker_outcomes_late_total: {
    help: "Outcomes that were not recorded before the answer left.",
    labels: [],
  },
  kek_broker_issuer_key_fetches_total: {
    help: "Fetches of OIDC issuers' keys, by result (ok or failed).",
    labels: ["issuer", "result"],
  },
  kek_broker_config_reloads_total: {
    help: "Attempts to load the configuration, by result (ok, unchanged or refused).",
    labels: ["result"],
  },
} as const;

export const HISTOGRAMS = {
  kek_broker_request_duration_seconds: {
    help: "From the request's head to the answer.",
    labels: ["route"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5],
  },
  kek_broker_provider_call_duration_seconds: {
    help: "One call to a member's cloud.",
    labels: ["kek", "member", "call"],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.7],
  },
} as const;

export const GAUGES = {
  kek_broker_distinct_envelopes: {
    help: "Distinct envelopes a cluster asked this instance to open within the current hour, at most 10000.",
    labels: ["cluster"],
  },
  kek_broker_kek_state: {
    help: "Last state answered: 2 ACTIVE, 1 DEGRADED, 0 UNAVAILABLE.",
    labels: ["kek"],
  },
  kek_broker_kek_wraps: {
    help: "1 when enough members could be read for a wrap, else 0: nothing new is encrypted then.",
    labels: ["kek"],
  },
} as const;

type Labels<Metric extends { readonly labels: readonly string[] }> = {
  readonly [label in Metric["labels"][number]]: string;
};

/** Where counts go: prom-client on Node, log lines or nothing elsewhere. Never throws. */
export interface Metrics {
  count<Name extends keyof typeof COUNTERS>(name: Name, labels: Labels<(typeof COUNTERS)[Name]>): void;
  observe<Name extends keyof typeof HISTOGRAMS>(
    name: Name,
    seconds: number,
    labels: Labels<(typeof HISTOGRAMS)[Name]>,
  ): void;
  set<Name extends keyof typeof GAUGES>(
    name: Name,
    value: number,
    labels: Labels<(typeof GAUGES)[Name]>,
  ): void;
}

/** For runtimes that keep no counts. */
export const NO_METRICS: Metrics = { count: () => {}, observe: () => {}, set: () => {} };
