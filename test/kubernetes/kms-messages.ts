import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { decodeMapEntry } from "./stored-value.ts";

/*
 * The messages of Kubernetes' KMS v2 as its published proto numbers their fields.
 * Written by hand so that the mock shares no code with the shim.
 */

export interface EncryptRequest {
  readonly plaintext: Uint8Array;
}

export interface DecryptRequest {
  readonly ciphertext: Uint8Array;
  readonly keyId: string;
  readonly annotations: ReadonlyMap<string, Uint8Array>;
}

export function readEncryptRequest(bytes: Uint8Array): EncryptRequest {
  let plaintext: Uint8Array = new Uint8Array();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) plaintext = reader.bytes();
    else reader.skip(type, field);
  }
  return { plaintext };
}

export function readDecryptRequest(bytes: Uint8Array): DecryptRequest {
  let ciphertext: Uint8Array = new Uint8Array();
  let keyId = "";
  const annotations = new Map<string, Uint8Array>();
  const reader = new BinaryReader(bytes);
  while (reader.pos < reader.len) {
    const [field, type] = reader.tag();
    if (field === 1) ciphertext = reader.bytes();
    else if (field === 3) keyId = reader.string();
    else if (field === 4) annotations.set(...decodeMapEntry(reader.bytes()));
    else reader.skip(type, field);
  }
  return { ciphertext, keyId, annotations };
}

export function statusResponse(keyId: string): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).string("v2");
  writer.tag(2, WireType.LengthDelimited).string("ok");
  return writer.tag(3, WireType.LengthDelimited).string(keyId).finish();
}

export function encryptResponse(
  ciphertext: Uint8Array,
  keyId: string,
  annotations: Readonly<Record<string, Uint8Array>>,
): Uint8Array {
  const writer = new BinaryWriter();
  writer.tag(1, WireType.LengthDelimited).bytes(ciphertext);
  writer.tag(2, WireType.LengthDelimited).string(keyId);
  for (const [key, value] of Object.entries(annotations)) {
    writer.tag(3, WireType.LengthDelimited).fork();
    writer.tag(1, WireType.LengthDelimited).string(key);
    writer.tag(2, WireType.LengthDelimited).bytes(value).join();
  }
  return writer.finish();
}

export function decryptResponse(plaintext: Uint8Array): Uint8Array {
  return new BinaryWriter().tag(1, WireType.LengthDelimited).bytes(plaintext).finish();
}
