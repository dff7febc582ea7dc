import {
  create,
  fromBinary,
  toBinary,
  type DescMessage,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import { Client, credentials } from "@grpc/grpc-js";

import {
  DecryptRequestSchema,
  DecryptResponseSchema,
  EncryptRequestSchema,
  EncryptResponseSchema,
  StatusRequestSchema,
  StatusResponseSchema,
  type DecryptRequest,
  type DecryptResponse,
  type EncryptRequest,
  type EncryptResponse,
  type StatusResponse,
} from "../../shim/gen/kms_pb.ts";

/** KMS v2 as kube-apiserver speaks it, from the apiserver's side. */
export interface KmsClient {
  status(): Promise<StatusResponse>;
  encrypt(request: Pick<EncryptRequest, "plaintext" | "uid">): Promise<EncryptResponse>;
  decrypt(request: Omit<DecryptRequest, "$typeName">): Promise<DecryptResponse>;
  close(): void;
}

/** kube-apiserver's default timeout for a KMS call. */
const TIMEOUT_MS = 3_000;

export function connectKms(socket: string): KmsClient {
  const client = new Client(`unix://${socket}`, credentials.createInsecure());
  const call = <Request extends DescMessage, Response extends DescMessage>(
    method: string,
    request: Request,
    response: Response,
  ) => {
    return (init: MessageInitShape<Request>): Promise<MessageShape<Response>> =>
      new Promise((resolve, reject) => {
        client.makeUnaryRequest(
          `/v2.KeyManagementService/${method}`,
          (message: MessageShape<Request>) => Buffer.from(toBinary(request, message)),
          (bytes) => fromBinary(response, bytes),
          create(request, init),
          { deadline: Date.now() + TIMEOUT_MS },
          (error, answer) => {
            if (error !== null) reject(error);
            else if (answer === undefined) reject(new Error(`${method} answered nothing`));
            else resolve(answer);
          },
        );
      });
  };
  const status = call("Status", StatusRequestSchema, StatusResponseSchema);
  return {
    status: () => status({}),
    encrypt: call("Encrypt", EncryptRequestSchema, EncryptResponseSchema),
    decrypt: call("Decrypt", DecryptRequestSchema, DecryptResponseSchema),
    close: () => client.close(),
  };
}
