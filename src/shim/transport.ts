import { Agent, EnvHttpProxyAgent, errors } from "undici";
import type { Dispatcher } from "undici";

import { BrokerCallError, systemCodeOf } from "./errors.ts";

/** Connections to one broker; more requests wait for one. */
const MAX_CONNECTIONS = 64;
const CONNECT_TIMEOUT_MS = 1_500;
const KEEP_ALIVE_MS = 60_000;
/** An answer holds at most 4 KiB of envelope and a receipt; what is longer is not ours. */
const MAX_ANSWER_BYTES = 65_536;

export interface Exchange {
  readonly origin: string;
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  /** Empty for GET. */
  readonly body: Uint8Array;
  /** Bounds all of it: connecting, waiting, reading. */
  readonly signal: AbortSignal;
}

export interface RawAnswer {
  readonly status: number;
  readonly contentType: string;
  readonly date: string | undefined;
  readonly retryAfter: string | undefined;
  readonly body: Buffer;
}

/** HTTP to the brokers: one bounded exchange at a time, redirects never followed. */
export class Transport {
  readonly #proxied: Dispatcher;
  readonly #direct: Dispatcher;

  /** @param ca PEM that replaces the system's certificate authorities */
  constructor(ca?: string) {
    const tls = { ...(ca === undefined ? {} : { ca }), timeout: CONNECT_TIMEOUT_MS };
    const pool = {
      connections: MAX_CONNECTIONS,
      pipelining: 1,
      keepAliveTimeout: KEEP_ALIVE_MS,
      maxResponseSize: MAX_ANSWER_BYTES,
      headersTimeout: 0, // the signal bounds it
      bodyTimeout: 0,
      connect: tls,
    };
    this.#direct = new Agent(pool);
    this.#proxied = new EnvHttpProxyAgent({ ...pool, requestTls: tls });
  }

  /** @throws BrokerCallError `Unreachable` (also for an aborted signal) or `BadAnswer` */
  async exchange(exchange: Exchange): Promise<RawAnswer> {
    const { origin, method, path, headers, signal } = exchange;
    // Plain http is loopback only (config.ts), and what is in clear never goes through a proxy.
    const dispatcher = origin.startsWith("https:") ? this.#proxied : this.#direct;
    const body = method === "POST" ? exchange.body : null;
    try {
      const answer = await dispatcher.request({ origin, path, method, headers, body, signal });
      return {
        status: answer.statusCode,
        contentType: single(answer.headers["content-type"]) ?? "",
        date: single(answer.headers["date"]),
        retryAfter: single(answer.headers["retry-after"]),
        body: Buffer.from(await answer.body.arrayBuffer()),
      };
    } catch (error) {
      throw callErrorOf(error);
    }
  }

  /** Breaks off what is still going on. */
  async close(): Promise<void> {
    await Promise.all([this.#direct.destroy(), this.#proxied.destroy()]);
  }
}

function single(value: string | string[] | undefined): string | undefined {
  return Array.isArray(value) ? value[0] : value;
}

function callErrorOf(cause: unknown): BrokerCallError {
  if (cause instanceof errors.ResponseExceededMaxSizeError) {
    return new BrokerCallError("BadAnswer", `a broker answered with more than ${MAX_ANSWER_BYTES} bytes`, {
      cause,
    });
  }
  return new BrokerCallError("Unreachable", `a broker cannot be reached (${systemCodeOf(cause)})`, {
    cause,
  });
}
