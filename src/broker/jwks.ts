import { createLocalJWKSet, errors, type CryptoKey, type JWSHeaderParameters } from "jose";

import { orAbort } from "../wire/deadline.ts";
import { fetchJwks, IssuerError, type IssuerNetwork } from "./issuer-document.ts";
import type { Log } from "./log.ts";
import type { Metrics } from "./metrics.ts";

/** Keys older than this are fetched anew, behind the requests that still use them. */
const REFRESH_AFTER_MS = 600_000;
/** Keys that could not be fetched anew serve this long. */
const KEEP_MS = 86_400_000;
/** At least this long between two fetches, whatever callers send. */
const COOLDOWN_MS = 30_000;
/** The same while no keys are there at all. */
const RETRY_MS = 5_000;

/** The key a token's header asks for; jose's errors when there is none, or more than one. */
export type FindKey = (header: JWSHeaderParameters) => Promise<CryptoKey>;

interface Entry {
  keys?: { readonly find: FindKey; readonly fetchedAt: number };
  lastAttempt?: number;
  fetching?: Promise<void>;
}

export interface IssuerKeysDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly network: IssuerNetwork;
  readonly log: Log;
  readonly metrics: Metrics;
}

/** Published keys of OIDC issuers, kept while an issuer is down. */
export interface IssuerKeys {
  /**
   * Finds a token's key, by its header, among an issuer's keys.
   * @param signal Ends the wait, not the fetch.
   * @param after Keeps a fetch alive that nobody waits for.
   */
  of(
    issuer: string,
    privateAddresses: readonly string[],
    signal: AbortSignal,
    after: (work: Promise<unknown>) => void,
  ): FindKey;
}

export function createIssuerKeys(deps: IssuerKeysDeps): IssuerKeys {
  const entries = new Map<string, Entry>();

  /** Starts a fetch unless one is under way or was a moment ago. Never rejects. */
  const refresh = (issuer: string, privateAddresses: readonly string[], entry: Entry): Promise<void> => {
    const pause = entry.keys === undefined ? RETRY_MS : COOLDOWN_MS;
    const now = deps.now();
    if (entry.lastAttempt !== undefined && now - entry.lastAttempt < pause) {
      return entry.fetching ?? Promise.resolve();
    }
    entry.lastAttempt = now;
    entry.fetching = load(deps, issuer, privateAddresses, entry);
    return entry.fetching;
  };

  /** After a clock was set back, what seems to come from the future is taken for new: it would stay so for that long. */
  const comeBack = (entry: Entry): void => {
    const now = deps.now();
    if (entry.keys !== undefined && entry.keys.fetchedAt > now)
      entry.keys = { ...entry.keys, fetchedAt: now };
    if (entry.lastAttempt !== undefined) entry.lastAttempt = Math.min(entry.lastAttempt, now);
  };

  return {
    of: (issuer, privateAddresses, signal, after) => async (header) => {
      const entry = entries.get(issuer) ?? {};
      entries.set(issuer, entry);
      comeBack(entry);
      const age = (): number => deps.now() - (entry.keys?.fetchedAt ?? Number.NEGATIVE_INFINITY);
      const reload = (): Promise<void> => orAbort(refresh(issuer, privateAddresses, entry), signal);
      if (age() > KEEP_MS) await reload();
      else if (age() > REFRESH_AFTER_MS) after(refresh(issuer, privateAddresses, entry));
      if (entry.keys === undefined || age() > KEEP_MS) throw new IssuerError("no keys of this issuer");
      try {
        return await entry.keys.find(header);
      } catch (error) {
        if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
        await reload();
        return entry.keys.find(header);
      }
    },
  };
}

async function load(
  { now, network, log, metrics }: IssuerKeysDeps,
  issuer: string,
  privateAddresses: readonly string[],
  entry: Entry,
): Promise<void> {
  try {
    const jwks = await fetchJwks(issuer, privateAddresses, network);
    entry.keys = { find: createLocalJWKSet({ keys: jwks.keys }), fetchedAt: now() };
    metrics.count("kek_broker_issuer_key_fetches_total", { issuer, result: "ok" });
    log({ level: "info", event: "issuer-keys-fetched", issuer });
  } catch (error) {
    metrics.count("kek_broker_issuer_key_fetches_total", { issuer, result: "failed" });
    const told = error instanceof IssuerError ? error.message : "its keys cannot be used";
    log({ level: "warn", event: "issuer-keys-failed", issuer, error: told });
  } finally {
    delete entry.fetching;
  }
}
