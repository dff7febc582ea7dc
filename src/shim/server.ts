import type { Socket } from "node:net";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type { ConnectionInjector, handleUnaryCall, MethodDefinition } from "@grpc/grpc-js";

import { BrokerCallError, KmsError } from "./errors.ts";
import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from "./gen/kms_pb.ts";
import { grpcStatusOf } from "./grpc-status.ts";
import type { Caller, KmsService } from "./kms-service.ts";
import type { Log } from "./log.ts";
import type { ShimMetrics } from "./metrics.ts";

/** A request holds at most 4 KiB of ciphertext and 32 KB of annotations. */
const MAX_MESSAGE_BYTES = 65_536;
/** kube-apiserver asks for Status every minute; a connection silent for longer was a probe's and leaks (grpc-node#2975). */
const MAX_IDLE_MS = 300_000;
const MAX_AGE_MS = 3_600_000;
const MAX_AGE_GRACE_MS = 30_000;
const MAX_STREAMS = 1_024;

export interface KmsServerOptions {
  readonly service: KmsService;
  readonly log: Log;
  readonly metrics: ShimMetrics;
}

/** `v2.KeyManagementService` over connections that somebody else accepts. The generated types stop here. */
export class KmsServer {
  readonly #options: KmsServerOptions;
  readonly #server = new Server({
    "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_send_message_length": MAX_MESSAGE_BYTES,
    "grpc.max_connection_idle_ms": MAX_IDLE_MS,
    "grpc.max_connection_age_ms": MAX_AGE_MS,
    "grpc.max_connection_age_grace_ms": MAX_AGE_GRACE_MS,
    "grpc.max_concurrent_streams": MAX_STREAMS,
    "grpc.enable_channelz": 0,
  });
  readonly #injector: ConnectionInjector;
  readonly #connections = new Set<Socket>();

  constructor(options: KmsServerOptions) {
    this.#options = options;
    const { service } = options;
    this.#unary("Status", StatusRequestSchema, StatusResponseSchema, async () => {
      const { version, healthz, keyId } = service.status();
      return create(StatusResponseSchema, { version, healthz, keyId });
    });
    this.#unary("Encrypt", EncryptRequestSchema, EncryptResponseSchema, async (request, caller) => {
      try {
        const { ciphertext, keyId } = await service.encrypt(request, caller);
        return create(EncryptResponseSchema, { ciphertext, keyId });
      } finally {
        request.plaintext.fill(0);
      }
    });
    this.#unary("Decrypt", DecryptRequestSchema, DecryptResponseSchema, async (request, caller) => {
      const { plaintext } = await service.decrypt(request, caller);
      return create(DecryptResponseSchema, { plaintext });
    });
    this.#injector = this.#server.createConnectionInjector(ServerCredentials.createInsecure());
  }

  accept(connection: Socket): void {
    this.#connections.add(connection);
    connection.once("close", () => this.#connections.delete(connection));
    connection.on("error", () => undefined); // a caller that breaks off is its own affair
    this.#injector.injectConnection(connection);
  }

  /** Lets the calls in flight end, at most for so long, and closes every connection. */
  async drain(graceMs: number): Promise<void> {
    this.#injector.drain(graceMs);
    await this.#allClosed(graceMs);
    this.#server.forceShutdown();
    for (const connection of this.#connections) connection.destroy();
  }

  async #allClosed(graceMs: number): Promise<void> {
    const closed = [...this.#connections].map(
      (connection) => new Promise<void>((resolve) => connection.once("close", () => resolve())),
    );
    let timer: NodeJS.Timeout | undefined;
    const grace = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, graceMs);
    });
    await Promise.race([Promise.all(closed), grace]);
    clearTimeout(timer);
  }

  #unary<Request extends DescMessage, Response extends DescMessage>(
    name: string,
    request: Request,
    response: Response,
    answer: (request: MessageShape<Request>, caller: Caller) => Promise<MessageShape<Response>>,
  ): void {
    const method = methodOf(name, request, response);
    const handle: handleUnaryCall<Parsed<Request>, MessageShape<Response>> = (call, callback) => {
      const started = performance.now();
      const gone = new AbortController();
      let ended = false;
      const end = (code: status): void => {
        ended = true;
        this.#options.metrics.request(name, status[code], (performance.now() - started) / 1000);
      };
      call.once("cancelled", () => {
        gone.abort();
        if (!ended) end(remainingMs(call.getDeadline()) <= 0 ? status.DEADLINE_EXCEEDED : status.CANCELLED);
      });
      const caller = { remainingMs: remainingMs(call.getDeadline()), signal: gone.signal };
      void (async () => {
        try {
          const { parsed } = call.request;
          if (parsed === undefined) throw new KmsError("BadRequest", `not a ${name}Request in protobuf`);
          const message = await answer(parsed, caller);
          if (!ended) end(status.OK);
          callback(null, message);
        } catch (error) {
          const { code, details } = refusalOf(error);
          if (!ended) {
            end(code);
            this.#report(name, call.request.parsed, error, details);
          }
          callback({ code, details });
        }
      })();
    };
    this.#server.register(method.path, handle, method.responseSerialize, method.requestDeserialize, "unary");
  }

  #report(method: string, request: object | undefined, error: unknown, detail: string): void {
    const known = error instanceof BrokerCallError || error instanceof KmsError;
    const code = known ? error.code : "Internal";
    const uid =
      request !== undefined && "uid" in request && typeof request.uid === "string" ? request.uid : "";
    this.#options.log(known ? "warn" : "error", "request failed", {
      method,
      code,
      detail: known ? detail : placeOf(error),
      uid,
    });
  }
}

/** grpc-js would answer a message that does not parse INTERNAL, as if it were our fault. */
interface Parsed<Request extends DescMessage> {
  /** `undefined`: not such a message. */
  readonly parsed: MessageShape<Request> | undefined;
}

function methodOf<Request extends DescMessage, Response extends DescMessage>(
  name: string,
  request: Request,
  response: Response,
): MethodDefinition<Parsed<Request>, MessageShape<Response>> {
  return {
    path: `/v2.KeyManagementService/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: () => Buffer.alloc(0), // a client's half
    responseDeserialize: () => create(response),
    requestDeserialize: (bytes) => {
      try {
        return { parsed: fromBinary(request, bytes) };
      } catch {
        return { parsed: undefined };
      }
    },
    responseSerialize: (message) => {
      const bytes = toBinary(response, message);
      if ("plaintext" in message && message.plaintext instanceof Uint8Array) message.plaintext.fill(0);
      return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    },
  };
}

function remainingMs(deadline: Date | number): number {
  return Number(deadline) - Date.now();
}

/** What is not a known error is a defect of ours, and its text stays inside. */
function refusalOf(error: unknown): { code: status; details: string } {
  if (error instanceof BrokerCallError || error instanceof KmsError) {
    return { code: grpcStatusOf(error.code), details: error.message };
  }
  return { code: status.INTERNAL, details: "the shim failed: its log tells more" };
}

/** Where a defect showed, without its message: that may quote what was being worked on. */
function placeOf(error: unknown): string {
  if (!(error instanceof Error)) return "a defect";
  const frame = error.stack?.split("\n").find((line) => /^\s+at /.test(line)) ?? "";
  return `a defect: ${error.name}${frame.replace(/^\s+/, " ")}`;
}
