import { Counter, Gauge, Histogram, Registry } from "prom-client";

/** From a cache hit to a caller's whole patience. Seconds. */
const BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5];

/** What /metrics shows. One registry a shim, so that several in one process keep apart. */
export class ShimMetrics {
  readonly #registry = new Registry();
  readonly #on = { registers: [this.#registry] };

  readonly #requests = new Counter({
    name: "kek_shim_requests_total",
    help: "Calls on the socket, by method and gRPC status.",
    labelNames: ["method", "code"],
    ...this.#on,
  });
  readonly #requestSeconds = new Histogram({
    name: "kek_shim_request_duration_seconds",
    help: "Time to answer a call on the socket.",
    labelNames: ["method"],
    buckets: BUCKETS,
    ...this.#on,
  });
  readonly #brokerCalls = new Counter({
    name: "kek_shim_broker_calls_total",
    help: "Calls to brokers, by operation and result: ok or an error's code.",
    labelNames: ["broker", "operation", "result"],
    ...this.#on,
  });
  readonly #brokerSeconds = new Histogram({
    name: "kek_shim_broker_call_duration_seconds",
    help: "Time a broker took to answer.",
    labelNames: ["broker", "operation"],
    buckets: BUCKETS,
    ...this.#on,
  });
  readonly #retries = new Counter({
    name: "kek_shim_retries_total",
    help: "Calls made again to a broker that had failed the same request.",
    ...this.#on,
  });
  readonly #retriesDenied = new Counter({
    name: "kek_shim_retry_budget_exhausted_total",
    help: "Retries not made because the retry budget was used up.",
    ...this.#on,
  });
  readonly #cache = new Counter({
    name: "kek_shim_cache_total",
    help: "Decrypts by how they were answered: hit, miss, joined to one in flight, or refused as shortly before.",
    labelNames: ["result"],
    ...this.#on,
  });
  readonly #keyIdChanges = new Counter({
    name: "kek_shim_key_id_changes_total",
    help: "Times the key_id that Status shows has changed.",
    ...this.#on,
  });
  readonly #keyIdRefused = new Counter({
    name: "kek_shim_key_id_refused_total",
    help: "Readings of a key_id that was left before, or of a lower epoch: going back takes a higher epoch at the broker.",
    ...this.#on,
  });
  readonly #tooLarge = new Counter({
    name: "kek_shim_envelopes_too_large_total",
    help: "Wraps refused because kube-apiserver would not store them.",
    ...this.#on,
  });
  readonly #healthy = new Gauge({
    name: "kek_shim_healthy",
    help: "1 while Status answers ok.",
    ...this.#on,
  });
  readonly #lastStatus = new Gauge({
    name: "kek_shim_last_broker_status_timestamp_seconds",
    help: "When a broker last answered a status request with 200.",
    ...this.#on,
  });
  readonly #clockOffset = new Gauge({
    name: "kek_shim_clock_offset_seconds",
    help: "How far a broker's clock is ahead of this node's; 0 within 5 s.",
    labelNames: ["broker"],
    ...this.#on,
  });

  /** @param cacheEntries read when asked for */
  constructor(cacheEntries: () => number) {
    const entries = new Gauge({
      name: "kek_shim_cache_entries",
      help: "Unwrapped DEKs held in memory.",
      ...this.#on,
      collect: () => {
        entries.set(cacheEntries());
      },
    });
    const memory = new Gauge({
      name: "process_resident_memory_bytes",
      help: "Resident memory.",
      ...this.#on,
      collect: () => {
        memory.set(process.memoryUsage.rss());
      },
    });
    this.#healthy.set(0);
  }

  request(method: string, code: string, seconds: number): void {
    this.#requests.inc({ method, code });
    this.#requestSeconds.observe({ method }, seconds);
  }

  brokerCall(broker: string, operation: string, result: string, seconds: number): void {
    this.#brokerCalls.inc({ broker, operation, result });
    this.#brokerSeconds.observe({ broker, operation }, seconds);
  }

  retried(): void {
    this.#retries.inc();
  }

  retryBudgetExhausted(): void {
    this.#retriesDenied.inc();
  }

  decrypt(result: "hit" | "miss" | "joined" | "refused"): void {
    this.#cache.inc({ result });
  }

  keyIdChanged(): void {
    this.#keyIdChanges.inc();
  }

  keyIdRefused(): void {
    this.#keyIdRefused.inc();
  }

  envelopeTooLarge(): void {
    this.#tooLarge.inc();
  }

  healthy(ok: boolean): void {
    this.#healthy.set(ok ? 1 : 0);
  }

  statusAnswered(wallMs: number): void {
    this.#lastStatus.set(wallMs / 1000);
  }

  clockOffset(broker: string, seconds: number): void {
    this.#clockOffset.set({ broker }, seconds);
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  /** Prometheus' text format. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
