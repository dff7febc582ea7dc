import { createServer, type IncomingHttpHeaders } from "node:http";
import { buffer } from "node:stream/consumers";

export interface Received {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body: string | Buffer;
}

/** `reset` cuts the connection; `silence` takes the request and never answers. */
export type Reply = Answer | "reset" | "silence";

export interface LoopbackServer {
  readonly url: string;
  /** Ends every connection, answered or not. */
  close(): Promise<void>;
}

/** An HTTP server on a free port of 127.0.0.1. What the handler throws becomes a 500 in plain text. */
export async function startLoopbackServer(
  handle: (request: Received) => Promise<Reply> | Reply,
): Promise<LoopbackServer> {
  const server = createServer((incoming, outgoing) => {
    const respond = async () => {
      const { method = "GET", url: path = "/", headers } = incoming;
      const reply = await handle({ method, path, headers, body: await buffer(incoming) });
      if (reply === "silence") return;
      if (reply === "reset") incoming.socket.resetAndDestroy();
      else outgoing.writeHead(reply.status, reply.headers).end(reply.body);
    };
    respond().catch((error: unknown) => {
      if (!outgoing.headersSent) outgoing.writeHead(500, { "content-type": "text/plain" });
      outgoing.end(String(error));
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", resolve);
  });
  const address = server.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  return {
    url: `http://127.0.0.1:${address.port}`,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        server.closeAllConnections();
      }),
  };
}

/** Not passed on: they belong to one connection, or are counted anew. */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "transfer-encoding", "content-length", "expect"]);

/** Sends the request on as it came, and returns what was answered. */
export async function forward(upstream: string, request: Received): Promise<Answer> {
  const headers = Object.entries(request.headers).flatMap(([name, value]): [string, string][] =>
    typeof value !== "string" || HOP_BY_HOP.has(name) ? [] : [[name, value]],
  );
  const hasBody = request.method !== "GET" && request.method !== "HEAD";
  const response = await fetch(new URL(request.path, upstream), {
    method: request.method,
    headers,
    ...(hasBody && { body: new Uint8Array(request.body) }),
  });
  return {
    status: response.status,
    headers: Object.fromEntries([...response.headers].filter(([name]) => !HOP_BY_HOP.has(name))),
    body: Buffer.from(await response.arrayBuffer()),
  };
}
