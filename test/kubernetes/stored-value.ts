import { BinaryReader } from "@bufbuild/protobuf/wire";

const PREFIX = "k8s:enc:kms:v2:";

/** How kube-apiserver makes the DEK from what the plugin decrypts. */
export const HKDF_SHA256_XNONCE_AES_GCM_SEED = 1;

/** What kube-apiserver keeps in etcd for an object that a KMS v2 provider encrypted. */
export interface StoredValue {
  readonly provider: string;
  readonly encryptedData: Uint8Array;
  readonly keyId: string;
  readonly encryptedDekSource: Uint8Array;
  readonly annotations: ReadonlyMap<string, Uint8Array>;
  readonly encryptedDekSourceType: number;
}

/** Reads `k8s:enc:kms:v2:PROVIDER:` and the EncryptedObject behind it. Throws if a value is anything else. */
export function decodeStoredValue(value: Uint8Array): StoredValue {
  const bytes = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  const colon = bytes.indexOf(":", PREFIX.length);
  if (!bytes.subarray(0, PREFIX.length).equals(Buffer.from(PREFIX)) || colon < 0) {
    throw new Error(`not encrypted by KMS v2: ${JSON.stringify(bytes.toString("latin1", 0, 40))}…`);
  }
  return {
    provider: bytes.toString("utf8", PREFIX.length, colon),
    ...decodeEncryptedObject(bytes.subarray(colon + 1)),
  };
}

function decodeEncryptedObject(bytes: Uint8Array): Omit<StoredValue, "provider"> {
  let encryptedData: Uint8Array = new Uint8Array();
  let keyId = "";
  let encryptedDekSource: Uint8Array = new Uint8Array();
  const annotations = new Map<string, Uint8Array>();
  let encryptedDekSourceType = 0;
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === 1) encryptedData = reader.bytes();
    else if (field === 2) keyId = reader.string();
    else if (field === 3) encryptedDekSource = reader.bytes();
    else if (field === 4) annotations.set(...decodeMapEntry(reader.bytes()));
    else if (field === 5) encryptedDekSourceType = reader.int32();
    else throw new Error(`EncryptedObject has an unknown field ${field}`);
  }
  return { encryptedData, keyId, encryptedDekSource, annotations, encryptedDekSourceType };
}

/** An entry of `map<string, bytes>`. */
export function decodeMapEntry(bytes: Uint8Array): [key: string, value: Uint8Array] {
  const reader = new BinaryReader(bytes);
  let key = "";
  let value: Uint8Array = new Uint8Array();
  while (reader.pos < reader.len) {
    const [field] = reader.tag();
    if (field === 1) key = reader.string();
    else if (field === 2) value = reader.bytes();
    else throw new Error(`map entry has an unknown field ${field}`);
  }
  return [key, value];
}
