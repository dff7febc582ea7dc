import { createServer, connect, type Server, type Socket } from "node:net";
import { Transform } from "node:stream";

import { freePort } from "./ports.ts";

/**
 * How the way to a server can be broken for good: nobody listens; it takes everything and answers nothing, also on
 * connections that are open; or each piece of an answer comes this much too late.
 */
export type NetworkFault = "refused" | "silent" | "slow";

/** Twice what the broker gives a member. */
const SLOW_MS = 1_500;

/** Passes TCP on to a server on loopback, whatever is spoken there, until its way is broken. */
export class NetworkPath {
  readonly #upstream: { readonly host: string; readonly port: number };
  readonly #port: number;
  readonly #sockets = new Set<Socket>();
  #server: Server | undefined;
  #fault: NetworkFault | undefined;

  private constructor(upstream: URL, port: number) {
    this.#upstream = { host: upstream.hostname, port: Number(upstream.port) };
    this.#port = port;
  }

  /** @param upstream the server's URL, with its port */
  static async open(upstream: string): Promise<NetworkPath> {
    const path = new NetworkPath(new URL(upstream), await freePort());
    await path.#listen();
    return path;
  }

  /** Host and port to ask instead of the server's own. */
  get host(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** Breaks it, from now until mended. */
  async break(fault: NetworkFault): Promise<void> {
    this.#fault = fault;
    if (fault === "refused") await this.close();
    else await this.#listen();
  }

  /** Connections made while it was silent are cut, as a router that comes back would. */
  async mend(): Promise<void> {
    const wasSilent = this.#fault === "silent";
    this.#fault = undefined;
    if (wasSilent) this.#cut();
    await this.#listen();
  }

  /** Nobody listens any more, and every connection is cut. */
  async close(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise<void>((resolve) => server.close(() => resolve()));
    this.#cut();
    await closed;
  }

  #cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async #listen(): Promise<void> {
    if (this.#server !== undefined) return;
    const server = createServer((client) => this.#join(client));
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(this.#port, "127.0.0.1", resolve);
    });
    this.#server = server;
  }

  #join(client: Socket): void {
    const server = connect(this.#upstream);
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.once("close", () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
      // What there is to say of it, close says.
      socket.on("error", () => {});
    }
    client.pipe(this.#asToday()).pipe(server);
    server.pipe(this.#asToday()).pipe(client);
  }

  /** Passes chunks as the path is when they come. */
  #asToday(): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        if (this.#fault === "silent") done();
        else if (this.#fault === "slow") setTimeout(done, SLOW_MS, null, chunk);
        else done(null, chunk);
      },
    });
  }
}
