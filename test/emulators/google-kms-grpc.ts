import { createServer, type Socket } from "node:net";

import { protos } from "@google-cloud/kms";
import {
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  type ServerUnaryCall,
  type ServiceDefinition,
} from "@grpc/grpc-js";

import { bytes, text } from "../vectors/protobuf.ts";
import { bearerToken, type GoogleKmsCall, type Serve } from "./google-kms-call.ts";
import { locationOf } from "./google-kms-state.ts";
import { type ErrorInfo, GoogleStatus } from "./google-status.ts";
import type { LoopbackServer } from "./loopback-server.ts";

const v1 = protos.google.cloud.kms.v1;

interface Message<T> {
  decode(bytes: Uint8Array): T;
  encode(message: object): { finish(): Uint8Array };
}

function method<Request, Response>(name: string, Request: Message<Request>, Response: Message<Response>) {
  return {
    path: `/google.cloud.kms.v1.KeyManagementService/${name}`,
    requestStream: false as const,
    responseStream: false as const,
    requestSerialize: (message: Request) => Buffer.from(Request.encode(message as object).finish()),
    requestDeserialize: (bytes: Buffer) => Request.decode(bytes),
    responseSerialize: (message: object) => Buffer.from(Response.encode(message).finish()),
    responseDeserialize: (bytes: Buffer) => Response.decode(bytes) as object,
  };
}

const SERVICE = {
  encrypt: method("Encrypt", v1.EncryptRequest, v1.EncryptResponse),
  decrypt: method("Decrypt", v1.DecryptRequest, v1.DecryptResponse),
  getCryptoKey: method("GetCryptoKey", v1.GetCryptoKeyRequest, v1.CryptoKey),
} satisfies ServiceDefinition;

/** Serves the SDK's own protos, without TLS. All other methods are UNIMPLEMENTED. */
export async function startGoogleKmsGrpc(serve: Serve): Promise<LoopbackServer> {
  const sockets = new Map<string, Socket>();
  const reset = (peer: string) => sockets.get(peer)?.resetAndDestroy();
  const server = new Server();
  server.addService(SERVICE, {
    encrypt: unary<protos.google.cloud.kms.v1.IEncryptRequest>(reset, serve, "Encrypt", (request, state) => {
      const answer = state.encrypt({
        name: request.name ?? "",
        plaintext: bytesOf(request.plaintext),
        plaintextCrc32c: sumOf(request.plaintextCrc32c),
        additionalAuthenticatedData: bytesOf(request.additionalAuthenticatedData),
        additionalAuthenticatedDataCrc32c: sumOf(request.additionalAuthenticatedDataCrc32c),
      });
      return { ...answer, ciphertextCrc32c: { value: answer.ciphertextCrc32c }, protectionLevel: 1 };
    }),
    decrypt: unary<protos.google.cloud.kms.v1.IDecryptRequest>(reset, serve, "Decrypt", (request, state) => {
      const answer = state.decrypt({
        name: request.name ?? "",
        ciphertext: bytesOf(request.ciphertext),
        ciphertextCrc32c: sumOf(request.ciphertextCrc32c),
        additionalAuthenticatedData: bytesOf(request.additionalAuthenticatedData),
        additionalAuthenticatedDataCrc32c: sumOf(request.additionalAuthenticatedDataCrc32c),
      });
      return { ...answer, plaintextCrc32c: { value: answer.plaintextCrc32c }, protectionLevel: 1 };
    }),
    getCryptoKey: unary<protos.google.cloud.kms.v1.IGetCryptoKeyRequest>(
      reset,
      serve,
      "GetCryptoKey",
      (request, state) => {
        const { name, purpose, primary } = state.getCryptoKey(request.name ?? "");
        return {
          name,
          purpose: v1.CryptoKey.CryptoKeyPurpose[purpose],
          primary: {
            name: primary.name,
            state: v1.CryptoKeyVersion.CryptoKeyVersionState[primary.state],
          },
        };
      },
    ),
  });

  // The server does not show its sockets, so they are made here.
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  const listener = createServer((socket) => {
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    sockets.set(peer, socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(peer));
    injector.injectConnection(socket);
  });
  await new Promise<void>((resolve, reject) => {
    listener.once("error", reject);
    listener.listen(0, "127.0.0.1", resolve);
  });
  const address = listener.address();
  if (address === null || typeof address === "string") throw new Error("not listening on TCP");
  const close = () =>
    new Promise<void>((resolve, reject) => {
      listener.close((error) => (error === undefined ? resolve() : reject(error)));
      server.forceShutdown();
      for (const socket of sockets.values()) socket.destroy();
    });
  return { url: `http://127.0.0.1:${address.port}`, close };
}

function unary<Request extends { name?: string | null }>(
  reset: (peer: string) => void,
  serve: Serve,
  operation: GoogleKmsCall["operation"],
  act: (request: Request, state: Parameters<Parameters<Serve>[1]>[0]) => object,
): handleUnaryCall<Request, object> {
  return (call, callback) => {
    const respond = async () => {
      try {
        const answer = await serve(calledBy(call, operation), (state) => act(call.request, state));
        if (answer === "silence") return;
        if (answer === "reset") reset(call.getPeer());
        else callback(null, answer);
      } catch (error) {
        const status = error instanceof GoogleStatus ? error : new GoogleStatus("UNKNOWN", String(error));
        callback({ code: status.grpc, details: status.message, metadata: detailsOf(status) });
      }
    };
    void respond();
  };
}

function calledBy<Request extends { name?: string | null }>(
  { metadata, request }: ServerUnaryCall<Request, object>,
  operation: GoogleKmsCall["operation"],
): GoogleKmsCall {
  const header = (name: string) => metadata.get(name)[0]?.toString();
  const sentTo = new URLSearchParams(header("x-goog-request-params")).get("name");
  return {
    transport: "grpc",
    operation,
    name: request.name ?? "",
    location: locationOf(sentTo ?? "") ?? "global",
    token: bearerToken(header("authorization")),
    reason: header("x-goog-request-reason"),
  };
}

function bytesOf(value: Uint8Array | string | null | undefined): Uint8Array {
  return value instanceof Uint8Array ? value : new Uint8Array(0);
}

function sumOf(wrapped: protos.google.protobuf.IInt64Value | null | undefined): number | undefined {
  return wrapped ? Number(String(wrapped.value ?? 0)) : undefined;
}

/** google.rpc.Status with its google.rpc.ErrorInfo, where gRPC carries it. */
function detailsOf(status: GoogleStatus): Metadata {
  const metadata = new Metadata();
  if (status.info !== undefined) {
    const message = {
      code: status.grpc,
      message: status.message,
      details: [{ type_url: "type.googleapis.com/google.rpc.ErrorInfo", value: errorInfo(status.info) }],
    };
    metadata.set("grpc-status-details-bin", Buffer.from(protos.google.rpc.Status.encode(message).finish()));
  }
  return metadata;
}

/** The SDK's protos lack this one: two texts and a map. */
function errorInfo({ reason, domain, metadata = {} }: ErrorInfo): Buffer {
  const entries = Object.entries(metadata).map(([name, value]) =>
    bytes(3, Buffer.concat([text(1, name), text(2, value)])),
  );
  return Buffer.concat([text(1, reason), text(2, domain), ...entries]);
}
