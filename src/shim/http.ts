import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";

import { StartError, systemCodeOf } from "./errors.ts";
import type { ShimMetrics } from "./metrics.ts";

export interface HttpOptions {
  /** `127.0.0.1:PORT` or `[::1]:PORT`. */
  readonly address: string;
  /** `ok`, or what is wrong. */
  readonly healthz: () => string;
  readonly metrics: ShimMetrics;
}

const REQUEST_TIMEOUT_MS = 5_000;

/** /livez, /readyz and /metrics. That the shim lives depends on no broker: restarting it would lose its cache. */
export class HttpEndpoint {
  /** `http://HOST:PORT`, with the port that was taken. */
  readonly url: string;
  readonly #server: Server;

  private constructor(url: string, server: Server) {
    this.url = url;
    this.#server = server;
  }

  /** @throws StartError `HttpUnusable` */
  static async open(options: HttpOptions): Promise<HttpEndpoint> {
    const separator = options.address.lastIndexOf(":");
    const host = options.address.slice(0, separator);
    const port = Number(options.address.slice(separator + 1));
    const server = createServer(
      { requestTimeout: REQUEST_TIMEOUT_MS, headersTimeout: REQUEST_TIMEOUT_MS },
      (request, response) => {
        answer(request, response, options).catch(() => response.destroy());
      },
    );
    try {
      await listen(server, host.replace(/^\[(.*)\]$/, "$1"), port);
    } catch (error) {
      throw new StartError(
        "HttpUnusable",
        `http: ${options.address} cannot be listened on (${systemCodeOf(error)})`,
        {
          cause: error,
        },
      );
    }
    const bound = server.address();
    const taken = typeof bound === "object" && bound !== null ? bound.port : port;
    return new HttpEndpoint(`http://${host}:${taken}`, server);
  }

  async close(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  options: HttpOptions,
): Promise<void> {
  const reply = (code: number, text: string, type = "text/plain; charset=utf-8"): void => {
    response.writeHead(code, { "content-type": type, "cache-control": "no-store" });
    response.end(request.method === "HEAD" ? undefined : text);
  };
  if (request.method !== "GET" && request.method !== "HEAD") {
    response.setHeader("allow", "GET, HEAD");
    return reply(405, "GET only\n");
  }
  switch (request.url?.split("?", 1)[0] ?? "") {
    case "/livez":
      return reply(200, "ok\n");
    case "/readyz": {
      const healthz = options.healthz();
      return reply(healthz === "ok" ? 200 : 503, `${healthz}\n`);
    }
    case "/metrics":
      return reply(200, await options.metrics.text(), options.metrics.contentType);
    default:
      return reply(404, "there are /livez, /readyz and /metrics\n");
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, () => {
      server.off("error", reject);
      resolve();
    });
  });
}
