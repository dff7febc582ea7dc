import { connect as connectHttp2, constants } from "node:http2";
import type { OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";

/** Writes bytes that are no gRPC to the socket and waits until the other side has had them, whatever it does then. */
export function writeGarbage(socket: string, bytes: Uint8Array, patienceMs = 200): Promise<void> {
  return new Promise((resolve) => {
    const connection = connect({ path: socket });
    const end = (): void => {
      connection.destroy();
      resolve();
    };
    connection.on("error", end);
    connection.on("close", end);
    connection.on("data", () => undefined);
    connection.write(bytes, () => {
      setTimeout(end, patienceMs);
    });
  });
}

export interface RawAnswer {
  /** HTTP status; 0 if the stream or the connection was broken off. */
  readonly status: number;
  /** gRPC status, from headers or trailers; undefined if none came. */
  readonly grpcStatus: number | undefined;
}

/** One HTTP/2 request with any headers and any body: what no gRPC client would send. */
export function rawRequest(
  socket: string,
  headers: OutgoingHttpHeaders,
  body?: Uint8Array,
): Promise<RawAnswer> {
  return new Promise((resolve) => {
    const session = connectHttp2("http://localhost", { createConnection: () => connect({ path: socket }) });
    let status = 0;
    let grpcStatus: number | undefined;
    const end = (): void => {
      session.destroy();
      resolve({ status, grpcStatus });
    };
    session.on("error", end);
    const stream = session.request({
      [constants.HTTP2_HEADER_METHOD]: "POST",
      [constants.HTTP2_HEADER_PATH]: "/v2.KeyManagementService/Status",
      [constants.HTTP2_HEADER_CONTENT_TYPE]: "application/grpc",
      te: "trailers",
      ...headers,
    });
    const read = (received: Record<string, unknown>): void => {
      const told = received["grpc-status"];
      if (told !== undefined) grpcStatus = Number(told);
    };
    stream.on("response", (received) => {
      status = received[":status"] ?? 0;
      read(received);
    });
    stream.on("trailers", read);
    stream.on("error", () => undefined);
    stream.on("close", end);
    stream.resume();
    stream.setTimeout(2_000, end);
    stream.end(body);
  });
}

/** A gRPC frame: flag, length, message. The length may lie. */
export function frame(message: Uint8Array, { length = message.length, flag = 0 } = {}): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(flag, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}
