import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";

import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
} from "../../dist/shim/gen/kms_pb.js";

/** KMS v2 from kube-apiserver's side, over one connection. */
export function connect(socket) {
  const client = new Client(`unix:${socket}`, credentials.createInsecure(), {
    "grpc.use_local_subchannel_pool": 1,
  });
  const method =
    (name, request, response) =>
    (fields = {}) =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          `/v2.KeyManagementService/${name}`,
          (message) => Buffer.from(toBinary(request, message)),
          (bytes) => fromBinary(response, bytes),
          create(request, fields),
          { deadline: Date.now() + 10_000 },
          (error, answer) => (error === null ? resolve(answer) : reject(error)),
        );
      });
  return {
    status: method("Status", StatusRequestSchema, StatusResponseSchema),
    encrypt: method("Encrypt", EncryptRequestSchema, EncryptResponseSchema),
    decrypt: method("Decrypt", DecryptRequestSchema, DecryptResponseSchema),
    close: () => client.close(),
  };
}
