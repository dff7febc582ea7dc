import { createCipheriv, createDecipheriv, randomBytes } from "node:crypto";
import {
  Server,
  ServerCredentials,
  status as Code,
  type handleUnaryCall,
  type ServiceDefinition,
} from "@grpc/grpc-js";
import {
  decryptResponse,
  type DecryptRequest,
  type EncryptRequest,
  encryptResponse,
  readDecryptRequest,
  readEncryptRequest,
  statusResponse,
} from "./kms-messages.ts";

const ANNOTATION = "mock.kek-broker.test";

/** A KMS v2 plugin in memory, to try the harness itself without a shim or a broker. */
export class MockKms {
  readonly socket: string;
  readonly calls = { Status: 0, Encrypt: 0, Decrypt: 0 };
  readonly #server = new Server();
  readonly #keys = new Map<string, Buffer>();
  #keyId = "";

  private constructor(socket: string) {
    this.socket = socket;
    this.rotate("key-1");
    this.#server.addService(SERVICE, {
      Status: this.#unary("Status", () => statusResponse(this.#keyId)),
      Encrypt: this.#unary("Encrypt", (request: EncryptRequest) => this.#encrypt(request)),
      Decrypt: this.#unary("Decrypt", (request: DecryptRequest) => this.#decrypt(request)),
    });
  }

  static async start(socket: string): Promise<MockKms> {
    const mock = new MockKms(socket);
    await new Promise<void>((resolve, reject) => {
      mock.#server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
        error === null ? resolve() : reject(error),
      );
    });
    return mock;
  }

  stop(): void {
    this.#server.forceShutdown();
  }

  /** Encrypts under a new key from now on; the old ones still decrypt. */
  rotate(keyId: string): void {
    this.#keys.set(keyId, randomBytes(32));
    this.#keyId = keyId;
  }

  #unary<T>(call: keyof MockKms["calls"], answer: (request: T) => Uint8Array) {
    const handle: handleUnaryCall<T, Uint8Array> = ({ request }, callback) => {
      this.calls[call]++;
      try {
        callback(null, answer(request));
      } catch (error) {
        callback({ code: Code.INTERNAL, details: String(error) });
      }
    };
    return handle;
  }

  #key(keyId: string): Buffer {
    const key = this.#keys.get(keyId);
    if (key === undefined) throw new Error(`no key ${keyId}`);
    return key;
  }

  #encrypt({ plaintext }: EncryptRequest): Uint8Array {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key(this.#keyId), nonce);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext), cipher.final()]);
    const ciphertext = Buffer.concat([sealed, cipher.getAuthTag()]);
    return encryptResponse(ciphertext, this.#keyId, { [ANNOTATION]: Buffer.from("kept") });
  }

  #decrypt({ ciphertext, keyId, annotations }: DecryptRequest): Uint8Array {
    if (!annotations.has(ANNOTATION)) throw new Error("the annotation was not kept");
    const key = this.#key(keyId);
    const decipher = createDecipheriv("aes-256-gcm", key, ciphertext.subarray(0, 12));
    decipher.setAuthTag(ciphertext.subarray(-16));
    const plaintext = decipher.update(ciphertext.subarray(12, -16));
    return decryptResponse(Buffer.concat([plaintext, decipher.final()]));
  }
}

const asIs = (bytes: Uint8Array) => Buffer.from(bytes);

function method<T>(name: string, read: (bytes: Uint8Array) => T) {
  return {
    path: `/v2.KeyManagementService/${name}`,
    requestStream: false,
    responseStream: false,
    requestSerialize: asIs,
    requestDeserialize: read,
    responseSerialize: asIs,
    responseDeserialize: asIs,
  };
}

const SERVICE: ServiceDefinition = {
  Status: method("Status", (bytes) => bytes),
  Encrypt: method("Encrypt", readEncryptRequest),
  Decrypt: method("Decrypt", readDecryptRequest),
};
