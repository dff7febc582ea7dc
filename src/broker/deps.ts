import type { Recorder } from "../audit/recorder.ts";
import type { Primitives } from "../envelope/primitives.ts";
import { webPrimitives } from "../envelope/web-primitives.ts";
import { createDistinctEnvelopes, type DistinctEnvelopes } from "./distinct-envelopes.ts";
import type { IssuerNetwork } from "./issuer-document.ts";
import { createIssuerKeys, type IssuerKeys } from "./jwks.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";
import { createRateLimiter, type RateLimiter } from "./rate-limit.ts";
import type { BrokerState } from "./state.ts";
import { createVersions, type Versions } from "./versions.ts";

/** What a broker needs from whoever runs it. */
export interface BrokerDeps {
  /** The current configuration; may be another at each call. */
  readonly state: () => BrokerState;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Cryptographically random bytes. */
  readonly random: (bytes: number) => Uint8Array<ArrayBuffer>;
  /** What envelopes are made of; Web Crypto's by default. */
  readonly primitives?: Primitives;
  readonly recorder: Recorder;
  readonly log: Log;
  readonly metrics: Metrics;
  /** How OIDC issuers are asked for their keys; the runtime's own `fetch` by default. */
  readonly fetch?: IssuerNetwork["fetch"];
  /** Every address of a host name, where the runtime can resolve: private ones are refused. */
  readonly resolve?: IssuerNetwork["resolve"];
}

/** The same with what one instance remembers between requests, none of it secret. */
export interface BrokerServices extends BrokerDeps {
  readonly primitives: Primitives;
  readonly issuerKeys: IssuerKeys;
  readonly rateLimiter: RateLimiter;
  readonly versions: Versions;
  readonly distinctEnvelopes: DistinctEnvelopes;
}

export function createBrokerServices(deps: BrokerDeps): BrokerServices {
  const { now, metrics, log } = deps;
  const network: IssuerNetwork = {
    fetch: deps.fetch ?? ((url, init) => fetch(url, init)),
    resolve: deps.resolve,
  };
  return {
    ...deps,
    primitives: deps.primitives ?? webPrimitives,
    issuerKeys: createIssuerKeys({ now, network, metrics, log }),
    rateLimiter: createRateLimiter(now),
    versions: createVersions({ now, metrics, log }),
    distinctEnvelopes: createDistinctEnvelopes(now, metrics),
  };
}
