import { getRequestListener } from "@hono/node-server";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

export interface Listening {
  readonly url: string;
  /** Reads the certificate again, for connections made from now on. */
  reloadTls(files: TlsFiles): void;
  /** Takes no more connections, lets requests under way finish, and cuts what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** Nobody needs longer to send 8 KiB. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16_384,
};

/**
 * Serves a fetch handler on HOST:PORT.
 * @throws the system's error when the address cannot be had, or the certificate cannot be read.
 */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  address: string,
  tls?: TlsFiles,
): Promise<Listening> {
  const separator = address.lastIndexOf(":");
  const host = address.slice(0, separator).replace(/^\[|\]$/g, "");
  const listener = getRequestListener(fetch);
  const handle = (request: IncomingMessage, response: ServerResponse): void =>
    void listener(request, response);
  const server =
    tls === undefined
      ? createHttpServer(LIMITS, handle)
      : createHttpsServer({ ...LIMITS, ...readTls(tls) }, handle);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(Number(address.slice(separator + 1)), host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const bound = server.address();
  const port = typeof bound === "object" && bound !== null ? bound.port : 0;
  const shownHost = host.includes(":") ? `[${host}]` : host;
  return {
    url: `${tls === undefined ? "http" : "https"}://${shownHost}:${port}`,
    reloadTls: (files) => {
      if (server instanceof HttpsServer) server.setSecureContext(readTls(files));
    },
    close: (graceMs) =>
      new Promise((resolve) => {
        const cut = setTimeout(() => server.closeAllConnections(), graceMs);
        server.close(() => {
          clearTimeout(cut);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
}

function readTls({ certFile, keyFile }: TlsFiles) {
  return { cert: readFileSync(certFile), key: readFileSync(keyFile), minVersion: "TLSv1.2" as const };
}
