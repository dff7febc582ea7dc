import type { BrokerConfig } from "../config/schema.ts";
import { BrokerProblem } from "./problem.ts";
import type { Principal } from "./principal.ts";

/** Tokens per second, and how many may be saved up. */
interface Rate {
  readonly perSecond: number;
  readonly burst: number;
}

interface Bucket {
  tokens: number;
  /** Milliseconds since the epoch. */
  filledAt: number;
}

/** Only callers in the configuration have buckets, but configurations come and go. */
const MAX_BUCKETS = 10_000;

/** Lets a caller through, or refuses it. Counts are this instance's own. */
export interface RateLimiter {
  /** @throws BrokerProblem `Throttled`; a refused request costs no token. */
  take(principal: Principal, rates: BrokerConfig["rateLimit"]): void;
}

/** @param now Milliseconds since the epoch. */
export function createRateLimiter(now: () => number): RateLimiter {
  const buckets = new Map<string, Bucket>();

  const evictOldest = (): void => {
    const [oldest] = buckets.keys();
    if (oldest !== undefined) buckets.delete(oldest);
  };

  const refill = (key: string, { perSecond, burst }: Rate): Bucket => {
    const time = now();
    const { tokens, filledAt } = buckets.get(key) ?? { tokens: burst, filledAt: time };
    const grown = tokens + (Math.max(0, time - filledAt) / 1000) * perSecond;
    const bucket = { tokens: Math.min(burst, grown), filledAt: time };
    // Deleted first, so that the map's order is that of use and the oldest leaves.
    buckets.delete(key);
    buckets.set(key, bucket);
    if (buckets.size > MAX_BUCKETS) evictOldest();
    return bucket;
  };

  return {
    take(principal, rates) {
      const own = refill(`principal ${principal.id}`, rates.principal);
      const cluster = refill(`cluster ${principal.cluster}`, rates.cluster);
      if (own.tokens < 1) throw throttled("principal-limit", own, rates.principal);
      if (cluster.tokens < 1) throw throttled("cluster-limit", cluster, rates.cluster);
      own.tokens -= 1;
      cluster.tokens -= 1;
    },
  };
}

function throttled(
  reason: "principal-limit" | "cluster-limit",
  { tokens }: Bucket,
  { perSecond }: Rate,
): BrokerProblem {
  const seconds = Math.max(1, Math.ceil((1 - tokens) / perSecond));
  const scope = reason === "principal-limit" ? "This caller" : "This cluster";
  return new BrokerProblem(
    "Throttled",
    `${scope} asks more often than \`rateLimit\` allows: wait ${seconds} s, then try again.`,
    { reason, retryAfter: seconds },
  );
}
