import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";

import * as z from "zod";

import type { KekStatus, Operation } from "../../src/wire/messages.ts";
import { isRetryable, PROBLEM_MEDIA_TYPE, statusOf } from "../../src/wire/problem.ts";
import type { ProblemCode } from "../../src/wire/problem.ts";

const Content = z.strictObject({
  plaintext: z.string().optional(),
  ciphertext: z.string().optional(),
  uid: z.string().optional(),
});

export interface RecordedCall {
  readonly operation: Operation;
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
  readonly uid: string | undefined;
}

interface Moment {
  readonly call: RecordedCall;
  readonly response: ServerResponse;
  /** Does what was asked for; the answer a broker that works would give. */
  readonly effect: () => unknown;
}

/** What a broker does with one call instead of working. */
export type Behaviour = (moment: Moment) => void | Promise<void>;

/** A broker over real HTTP on loopback that does as it is told, and otherwise works. */
export class FakeBroker {
  readonly url: string;
  readonly calls: RecordedCall[] = [];
  keyId: string | null = "prod-secrets.0.aaaaaaaaaaaaaaaa";
  /** The id that wraps come back with, if it is not `keyId`. */
  wrapKeyId: string | null | undefined;
  status: Partial<KekStatus> = {};
  /** Milliseconds its clock is ahead. */
  clockAhead = 0;
  /** What is done with every call that no `next` was said for. */
  always: Behaviour | undefined;
  readonly #next: Behaviour[] = [];
  readonly #key = randomBytes(32);
  readonly #server: Server;

  private constructor(server: Server, url: string) {
    this.#server = server;
    this.url = url;
    server.on("request", (request, response) => void this.#handle(request, response));
  }

  static async start(tls?: { key: string; cert: string }): Promise<FakeBroker> {
    const server = tls === undefined ? createServer() : createTlsServer(tls);
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const address = server.address();
    const port = typeof address === "object" ? address?.port : undefined;
    return new FakeBroker(server, `${tls === undefined ? "http" : "https"}://127.0.0.1:${port}`);
  }

  async stop(): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }

  /** The next calls, one behaviour each. */
  next(...behaviours: readonly Behaviour[]): this {
    this.#next.push(...behaviours);
    return this;
  }

  count(operation?: Operation): number {
    return operation === undefined
      ? this.calls.length
      : this.calls.filter((call) => call.operation === operation).length;
  }

  /** An envelope as this broker makes it. */
  seal(plaintext: Uint8Array): Buffer {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const sealed = Buffer.concat([cipher.update(plaintext), cipher.final()]);
    return Buffer.concat([nonce, sealed, cipher.getAuthTag()]);
  }

  /** Gives this broker's envelopes to another, as instances of one service share them. */
  sharesKeyWith(other: FakeBroker): void {
    other.#key.copy(this.#key);
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = [];
    try {
      for await (const chunk of request) chunks.push(Buffer.from(chunk));
    } catch {
      return; // the caller left
    }
    const body = Buffer.concat(chunks).toString("utf8");
    const call = recordOf(request, body);
    this.calls.push(call);
    response.setHeader("date", new Date(Date.now() + this.clockAhead).toUTCString());
    const effect = () => this.#effectOf(call);
    const behaviour = this.#next.shift() ?? this.always ?? works;
    await behaviour({ call, response, effect });
  }

  #effectOf(call: RecordedCall): unknown {
    if (call.operation === "status") return { ...WORKING_STATUS, keyId: this.keyId, ...this.status };
    const content = Content.parse(JSON.parse(call.body));
    if (call.operation === "wrap") {
      const ciphertext = this.seal(Buffer.from(content.plaintext ?? "", "base64")).toString("base64");
      return { ciphertext, keyId: this.wrapKeyId === undefined ? this.keyId : this.wrapKeyId };
    }
    const plaintext = this.#open(Buffer.from(content.ciphertext ?? "", "base64"));
    return plaintext === undefined
      ? undefined
      : { plaintext: plaintext.toString("base64"), keyId: this.keyId };
  }

  #open(envelope: Buffer): Buffer | undefined {
    try {
      const decipher = createDecipheriv("aes-256-gcm", this.#key, envelope.subarray(0, 12));
      decipher.setAuthTag(envelope.subarray(-16));
      return Buffer.concat([decipher.update(envelope.subarray(12, -16)), decipher.final()]);
    } catch {
      return undefined;
    }
  }
}

const WORKING_STATUS: KekStatus = {
  name: "prod-secrets",
  keyId: null,
  state: "ACTIVE",
  threshold: 1,
  members: [{ name: "aws", use: "both", state: "available" }],
  lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3_600 },
  maxCiphertext: 360,
  features: [],
  config: "00".repeat(32),
};

function recordOf(request: IncomingMessage, body: string): RecordedCall {
  const path = request.url ?? "";
  const last = path.slice(path.lastIndexOf("/") + 1);
  const operation = last === "wrap" || last === "unwrap" ? last : "status";
  const { uid } = body === "" ? { uid: undefined } : Content.parse(JSON.parse(body));
  return { operation, method: request.method ?? "", path, headers: request.headers, body, uid };
}

const works: Behaviour = ({ effect, response }) => {
  const value = effect();
  if (value === undefined) return send(response, problemOf("InvalidCiphertext"));
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
};

/** Breaks the connection, before or after the act. */
export function hangsUp(when: "before" | "after"): Behaviour {
  return ({ effect, response }) => {
    if (when === "after") effect();
    response.destroy();
  };
}

/** Answers a problem, before or after the act. */
export function refuses(code: ProblemCode, headers: Record<string, string> = {}, when = "before"): Behaviour {
  return ({ effect, response }) => {
    if (when === "after") effect();
    send(response, problemOf(code), headers);
  };
}

/** Answers whatever is said. */
export function says(status: number, headers: Record<string, string>, body: string): Behaviour {
  return ({ response }) => {
    response.writeHead(status, headers).end(body);
  };
}

/** Never answers. */
export const staysSilent: Behaviour = () => undefined;

/** Works once let go. */
export function held(): { behaviour: Behaviour; release: () => void } {
  const gate = deferred();
  return {
    behaviour: async (moment) => {
      await gate.promise;
      await works(moment);
    },
    release: gate.resolve,
  };
}

/** Announces more than it sends, then breaks off. */
export const truncates: Behaviour = ({ effect, response }) => {
  const body = JSON.stringify(effect() ?? {});
  response.writeHead(200, { "content-type": "application/json", "content-length": String(body.length) });
  response.write(body.slice(0, body.length / 2), () => response.destroy());
};

function problemOf(code: ProblemCode) {
  const type = `https://kek-broker.dev/problems/${code}`;
  const detail = `made up by a test: ${code}`;
  return {
    type,
    title: code,
    status: statusOf(code),
    code,
    detail,
    retryable: isRetryable(code),
    requestId: "r-1",
  };
}

function send(
  response: ServerResponse,
  problem: ReturnType<typeof problemOf>,
  headers: Record<string, string> = {},
): void {
  response
    .writeHead(problem.status, { "content-type": PROBLEM_MEDIA_TYPE, ...headers })
    .end(JSON.stringify(problem));
}

/** Promise.withResolvers is not in Node 20. */
function deferred(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
