import { Client, credentials, Metadata } from "@grpc/grpc-js";
import type { ChannelOptions, ServiceError } from "@grpc/grpc-js";
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";

/*
 * A KMS v2 client for tests. The messages are written by hand as Kubernetes' published proto numbers their fields, so
 * that it shares no code with what it tests.
 */

export interface KmsStatus {
  readonly version: string;
  readonly healthz: string;
  readonly keyId: string;
}

export interface Encrypted {
  readonly ciphertext: Buffer;
  readonly keyId: string;
  readonly annotations: ReadonlyMap<string, Buffer>;
}

export interface ToDecrypt {
  readonly ciphertext: Uint8Array;
  readonly keyId?: string;
  readonly annotations?: ReadonlyMap<string, Uint8Array>;
  readonly uid?: string;
}

export interface CallOptions {
  readonly deadlineMs?: number;
  readonly signal?: AbortSignal;
}

const SERVICE = "/v2.KeyManagementService";
const DEADLINE_MS = 10_000;

export class KmsClient {
  readonly #client: Client;

  /** @param target a socket's path, or a whole gRPC target */
  constructor(target: string, options: ChannelOptions = {}) {
    const address = target.startsWith("/") ? `unix:${target}` : target;
    this.#client = new Client(address, credentials.createInsecure(), {
      "grpc.use_local_subchannel_pool": 1,
      ...options,
    });
  }

  async status(options?: CallOptions): Promise<KmsStatus> {
    const fields = readFields(await this.call("Status", new Uint8Array(), options));
    return { version: textIn(fields, 1), healthz: textIn(fields, 2), keyId: textIn(fields, 3) };
  }

  async encrypt(plaintext: Uint8Array, uid = "", options?: CallOptions): Promise<Encrypted> {
    const fields = readFields(await this.call("Encrypt", encryptRequest(plaintext, uid), options));
    const annotations = new Map(
      (fields.get(3) ?? []).map((entry) => {
        const parts = readFields(entry);
        return [textIn(parts, 1), bytesIn(parts, 2)];
      }),
    );
    return { ciphertext: bytesIn(fields, 1), keyId: textIn(fields, 2), annotations };
  }

  async decrypt(request: ToDecrypt, options?: CallOptions): Promise<Buffer> {
    return bytesIn(readFields(await this.call("Decrypt", decryptRequest(request), options)), 1);
  }

  /** Any method with any bytes. Rejects with gRPC's ServiceError. */
  call(
    method: string,
    message: Uint8Array,
    { deadlineMs = DEADLINE_MS, signal }: CallOptions = {},
  ): Promise<Buffer> {
    const path = method.startsWith("/") ? method : `${SERVICE}/${method}`;
    return new Promise((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        (bytes: Uint8Array) => Buffer.from(bytes),
        (bytes: Buffer) => bytes,
        message,
        new Metadata(),
        { deadline: Date.now() + deadlineMs },
        (error, answer) => (error === null ? resolve(answer ?? Buffer.alloc(0)) : reject(error)),
      );
      signal?.addEventListener("abort", () => call.cancel(), { once: true });
    });
  }

  close(): void {
    this.#client.close();
  }
}

/** The gRPC status code a call ended with; 0 if it worked. */
export async function grpcCodeOf(call: Promise<unknown>): Promise<number> {
  return (await serviceErrorOf(call))?.code ?? 0;
}

export async function serviceErrorOf(call: Promise<unknown>): Promise<ServiceError | undefined> {
  try {
    await call;
    return undefined;
  } catch (error) {
    if (isServiceError(error)) return error;
    throw error;
  }
}

function isServiceError(error: unknown): error is ServiceError {
  return error instanceof Error && "code" in error && "details" in error && "metadata" in error;
}

export function encryptRequest(plaintext: Uint8Array, uid: string): Uint8Array {
  const writer = new BinaryWriter();
  if (plaintext.length > 0) writer.tag(1, WireType.LengthDelimited).bytes(plaintext);
  if (uid !== "") writer.tag(2, WireType.LengthDelimited).string(uid);
  return writer.finish();
}

function decryptRequest({ ciphertext, uid = "", keyId = "", annotations }: ToDecrypt): Uint8Array {
  const writer = new BinaryWriter();
  if (ciphertext.length > 0) writer.tag(1, WireType.LengthDelimited).bytes(ciphertext);
  if (uid !== "") writer.tag(2, WireType.LengthDelimited).string(uid);
  if (keyId !== "") writer.tag(3, WireType.LengthDelimited).string(keyId);
  for (const [key, value] of annotations ?? []) {
    writer.tag(4, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).bytes(value).join();
  }
  return writer.finish();
}

type Fields = Map<number, Buffer[]>;

/** All fields of these messages are length-delimited. */
function readFields(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields: Fields = new Map();
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (type !== WireType.LengthDelimited) throw new Error(`field ${field} has wire type ${type}`);
    fields.set(field, [...(fields.get(field) ?? []), Buffer.from(reader.bytes())]);
  }
  return fields;
}

function bytesIn(fields: Fields, field: number): Buffer {
  return fields.get(field)?.at(-1) ?? Buffer.alloc(0);
}

function textIn(fields: Fields, field: number): string {
  return bytesIn(fields, field).toString("utf8");
}
