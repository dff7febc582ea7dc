import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";

import * as z from "zod";

import { type FailureFault, Faults } from "./faults.ts";
import type { ContractFault } from "./provider-contract.ts";

interface Key {
  /** Newest last; each has its id. */
  readonly materials: { readonly id: string; readonly secret: Buffer }[];
  state: "Enabled" | "Disabled" | "PendingDeletion";
  forbidden: boolean;
}

/** The connection ends without an answer. */
class ConnectionReset extends Error {}

const ACCOUNT = "111122223333";
/** So that 32 bytes become as many as the real service makes of them. */
const HEADER_BYTES = 184 - 32 - 12 - 16;
const MATERIAL_ID_BYTES = 32;

const Blob = z.base64().transform((text) => Buffer.from(text, "base64"));
const Context = z.record(z.string(), z.string()).default({});
const Parameters = {
  Encrypt: z.object({
    KeyId: z.string(),
    Plaintext: Blob.refine((bytes) => bytes.length >= 1 && bytes.length <= 4096),
    EncryptionContext: Context,
    EncryptionAlgorithm: z.literal("SYMMETRIC_DEFAULT").optional(),
  }),
  Decrypt: z.object({
    KeyId: z.string().optional(),
    CiphertextBlob: Blob.refine((bytes) => bytes.length >= 1 && bytes.length <= 6144),
    EncryptionContext: Context,
    EncryptionAlgorithm: z.literal("SYMMETRIC_DEFAULT").optional(),
  }),
  DescribeKey: z.object({ KeyId: z.string() }),
};
type Operation = keyof typeof Parameters;

class AwsError extends Error {}

/**
 * A fake AWS KMS of ours, after its API reference: Encrypt, Decrypt and DescribeKey on symmetric keys, with the ids of
 * key material that no emulator changes. Signatures are not checked. For where no emulator's server can be.
 */
export class FakeAwsKms {
  readonly operations: Operation[] = [];
  readonly #keys = new Map<string, Key>();
  readonly #faults = new Faults<Response>(failure);

  /** Returns the key's ARN. */
  createKey(region = "us-east-1"): string {
    const keyArn = `arn:aws:kms:${region}:${ACCOUNT}:key/${randomUUID()}`;
    this.#keys.set(keyArn, { materials: [newMaterial()], state: "Enabled", forbidden: false });
    return keyArn;
  }

  rotate(keyArn: string): void {
    this.#key(keyArn).materials.push(newMaterial());
  }

  setState(keyArn: string, state: Key["state"]): void {
    this.#key(keyArn).state = state;
  }

  forbid(keyArn: string): void {
    this.#key(keyArn).forbidden = true;
  }

  /** The next requests, in this order, meet these faults. */
  inject(...faults: readonly ContractFault[]): void {
    this.#faults.inject(...faults);
  }

  /** One request, whatever its host. Rejects with `ConnectionReset` for a connection that is cut. */
  async handle(request: Request): Promise<Response> {
    const target = request.headers.get("x-amz-target") ?? "";
    const body = await request.text();
    return this.#faults.meet(() => this.#serve(target, body));
  }

  #serve(target: string, body: string): Response {
    const operation = target.replace("TrentService.", "");
    if (!isOperation(operation)) return failed(400, "UnknownOperationException");
    this.operations.push(operation);
    try {
      return answered(this.#act(operation, JSON.parse(body)));
    } catch (error) {
      if (error instanceof AwsError) return failed(400, error.message);
      if (error instanceof z.ZodError) return failed(400, "ValidationException");
      throw error;
    }
  }

  #act(operation: Operation, parameters: unknown): object {
    switch (operation) {
      case "Encrypt":
        return this.#encrypt(Parameters.Encrypt.parse(parameters));
      case "Decrypt":
        return this.#decrypt(Parameters.Decrypt.parse(parameters));
      case "DescribeKey": {
        const { KeyId } = Parameters.DescribeKey.parse(parameters);
        const { materials, state } = this.#allowed(KeyId);
        const CurrentKeyMaterialId = materials.at(-1)?.id;
        return {
          KeyMetadata: { Arn: KeyId, KeyState: state, CreationDate: 1_790_000_000, CurrentKeyMaterialId },
        };
      }
    }
  }

  #encrypt({ KeyId, Plaintext, EncryptionContext }: z.infer<typeof Parameters.Encrypt>): object {
    const material = this.#usable(KeyId).materials.at(-1);
    if (material === undefined) throw new AwsError("KMSInternalException");
    const header = Buffer.concat([
      Buffer.from(material.id, "hex"),
      randomBytes(HEADER_BYTES - MATERIAL_ID_BYTES),
    ]);
    const iv = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", material.secret, iv);
    cipher.setAAD(aad(EncryptionContext, header));
    const sealed = Buffer.concat([cipher.update(Plaintext), cipher.final(), cipher.getAuthTag()]);
    const CiphertextBlob = Buffer.concat([header, iv, sealed]).toString("base64");
    return { KeyId, CiphertextBlob, EncryptionAlgorithm: "SYMMETRIC_DEFAULT" };
  }

  #decrypt({ KeyId, CiphertextBlob: blob, EncryptionContext }: z.infer<typeof Parameters.Decrypt>): object {
    const id = blob.subarray(0, MATERIAL_ID_BYTES).toString("hex");
    const found = [...this.#keys].find(([, { materials }]) =>
      materials.some((material) => material.id === id),
    );
    if (KeyId !== undefined) this.#usable(KeyId);
    if (found === undefined) throw new AwsError("InvalidCiphertextException");
    const [keyArn, { materials }] = found;
    if (KeyId !== undefined && KeyId !== keyArn) throw new AwsError("IncorrectKeyException");
    this.#usable(keyArn);
    const secret = materials.find((material) => material.id === id)?.secret ?? Buffer.of();
    const [header, rest] = [blob.subarray(0, HEADER_BYTES), blob.subarray(HEADER_BYTES)];
    if (rest.length < 12 + 16) throw new AwsError("InvalidCiphertextException");
    const decipher = createDecipheriv("aes-256-gcm", secret, rest.subarray(0, 12));
    decipher.setAAD(aad(EncryptionContext, header)).setAuthTag(rest.subarray(-16));
    try {
      const plaintext = Buffer.concat([decipher.update(rest.subarray(12, -16)), decipher.final()]);
      return {
        KeyId: keyArn,
        Plaintext: plaintext.toString("base64"),
        EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
        KeyMaterialId: id,
      };
    } catch {
      throw new AwsError("InvalidCiphertextException");
    }
  }

  #allowed(keyArn: string): Key {
    const key = this.#keys.get(keyArn);
    if (key === undefined) throw new AwsError("NotFoundException");
    if (key.forbidden) throw new AwsError("AccessDeniedException");
    return key;
  }

  #usable(keyArn: string): Key {
    const key = this.#allowed(keyArn);
    if (key.state === "Disabled") throw new AwsError("DisabledException");
    if (key.state === "PendingDeletion") throw new AwsError("KMSInvalidStateException");
    return key;
  }

  #key(keyArn: string): Key {
    const key = this.#keys.get(keyArn);
    if (key === undefined) throw new Error(`no key ${keyArn}`);
    return key;
  }
}

function newMaterial(): Key["materials"][number] {
  return { id: randomBytes(MATERIAL_ID_BYTES).toString("hex"), secret: randomBytes(32) };
}

function isOperation(name: string): name is Operation {
  return Object.hasOwn(Parameters, name);
}

/** The context is a set: the order of its names does not matter. */
function aad(context: Readonly<Record<string, string>>, header: Buffer): Buffer {
  const pairs = Object.entries(context).sort(([one], [other]) => (one < other ? -1 : 1));
  return Buffer.concat([header, Buffer.from(JSON.stringify(pairs))]);
}

function answered(body: object): Response {
  return respond(200, body);
}

function failure(fault: FailureFault): Response | Promise<Response> {
  switch (fault) {
    case "throttled":
      return failed(400, "ThrottlingException");
    case "denied":
      return failed(400, "AccessDeniedException");
    case "brokenBefore":
    case "brokenAfter":
      return failed(500, "KMSInternalException");
    case "silent":
      return new Promise(() => {});
    case "reset":
      throw new ConnectionReset("the fake cuts the connection");
  }
}

/** With the things in its message that must not leave an adapter. */
function failed(status: number, type: string): Response {
  return respond(status, { __type: type, message: `arn:aws:kms:us-east-1:${ACCOUNT}:key/some-key` });
}

function respond(status: number, body: object): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": randomUUID() },
  });
}
