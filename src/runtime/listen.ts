import { getRequestListener } from "@hono/node-server";
import { readFileSync } from "node:fs";
import { createServer as createHttpServer, type IncomingMessage, type ServerResponse } from "node:http";
import { createServer as createHttpsServer, Server as HttpsServer } from "node:https";
import { createSecureContext } from "node:tls";

export interface TlsFiles {
  readonly certFile: string;
  readonly keyFile: string;
}

/** What was in them. */
export interface TlsMaterial {
  readonly cert: string;
  readonly key: string;
}

export interface Listening {
  readonly url: string;
  /** For the connections made from now on. */
  useTls(material: TlsMaterial): void;
  /** Takes no more connections, lets requests under way finish, and cuts what is left after `graceMs`. */
  close(graceMs: number): Promise<void>;
}

/** Nobody needs longer to send 8 KiB, and a stranger's silent connections must not add up. */
const LIMITS = {
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  connectionsCheckingInterval: 1_000,
  keepAliveTimeout: 65_000,
  maxHeaderSize: 16_384,
};

const HANDSHAKE_MS = 5_000;
const MAX_CONNECTIONS = 4_096;

/**
 * Serves a fetch handler on HOST:PORT.
 * @throws the system's error when the address cannot be had.
 */
export async function listen(
  fetch: (request: Request) => Response | Promise<Response>,
  address: string,
  tls?: TlsMaterial,
): Promise<Listening> {
  const separator = address.lastIndexOf(":");
  const host = address.slice(0, separator).replace(/^\[|\]$/g, "");
  const listener = getRequestListener(fetch);
  const handle = (request: IncomingMessage, response: ServerResponse): void =>
    void listener(request, response);
  const server =
    tls === undefined
      ? createHttpServer(LIMITS, handle)
      : createHttpsServer({ ...LIMITS, ...secure(tls), handshakeTimeout: HANDSHAKE_MS }, handle);
  server.maxConnections = MAX_CONNECTIONS;
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
    useTls: (material) => {
      if (server instanceof HttpsServer) server.setSecureContext(secure(material));
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

/**
 * Reads and tries a certificate and its key.
 * @throws the system's error when a file cannot be read; OpenSSL's when they are no pair.
 */
export function readTls({ certFile, keyFile }: TlsFiles): TlsMaterial {
  const material = { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8") };
  createSecureContext(secure(material));
  return material;
}

function secure({ cert, key }: TlsMaterial) {
  return { cert, key, minVersion: "TLSv1.2" as const };
}
