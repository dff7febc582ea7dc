import { createCipheriv, createDecipheriv, randomBytes, randomUUID } from "node:crypto";

import { crc32c } from "@aws-crypto/crc32c";

import { bytes } from "../vectors/protobuf.ts";
import { GoogleStatus } from "./google-status.ts";

export type GoogleVersionState = "ENABLED" | "DISABLED" | "DESTROY_SCHEDULED" | "DESTROYED";

export interface GoogleEncryptRequest {
  readonly name: string;
  readonly plaintext: Uint8Array;
  readonly plaintextCrc32c?: number | undefined;
  readonly additionalAuthenticatedData: Uint8Array;
  readonly additionalAuthenticatedDataCrc32c?: number | undefined;
}

export interface GoogleDecryptRequest {
  readonly name: string;
  readonly ciphertext: Uint8Array;
  readonly ciphertextCrc32c?: number | undefined;
  readonly additionalAuthenticatedData: Uint8Array;
  readonly additionalAuthenticatedDataCrc32c?: number | undefined;
}

interface Version {
  readonly number: number;
  readonly name: string;
  /** What a ciphertext names it by. */
  readonly id: Buffer;
  /** Gone when destroyed. */
  material: Buffer | undefined;
  state: GoogleVersionState;
}

interface CryptoKey {
  readonly name: string;
  readonly versions: Version[];
  primary: Version;
}

const MAX_DATA_BYTES = 64 * 1024;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
/** Fills a ciphertext up to the length of a real one. */
const FILLER_BYTES = 13;

/** Some of the real ones. Requests for others end at the global location, which knows nothing of them. */
const LOCATIONS: ReadonlySet<string> = new Set(
  "global us europe asia us-central1 us-east1 europe-west1 europe-west3 asia-northeast1".split(" "),
);
const SEGMENT = "([^/]+)";
const NAME = new RegExp(
  `^(projects/${SEGMENT}/locations/${SEGMENT}/keyRings/${SEGMENT}/cryptoKeys/${SEGMENT})(?:/cryptoKeyVersions/${SEGMENT})?$`,
);

/**
 * What a project of Cloud KMS holds: symmetric keys of protection level SOFTWARE and their versions, with real
 * AES-256-GCM. Written from Google's public documentation: the comments of service.proto and resources.proto, and the
 * guides on key states and data integrity. Changes are seen at once; the real ones take up to hours.
 */
export class GoogleKmsState {
  readonly #keys = new Map<string, CryptoKey>();
  readonly #forbidden = new Set<string>();
  /** Whether the caller may use all keys of the project, or only those that are there: others are then denied. */
  grantedOn: "project" | "keys" = "project";

  createKey({ project = "kek-broker-test", location = "europe-west1" } = {}): string {
    if (!LOCATIONS.has(location)) throw new Error(`the fake has no location ${location}`);
    const id = randomUUID().slice(0, 13);
    const name = `projects/${project}/locations/${location}/keyRings/ring-${id}/cryptoKeys/key-${id}`;
    const primary = newVersion(name, 1);
    this.#keys.set(name, { name, versions: [primary], primary });
    return name;
  }

  /** CreateCryptoKeyVersion and UpdateCryptoKeyPrimaryVersion. */
  rotate(name: string): void {
    const key = this.#key(name);
    key.primary = newVersion(name, key.versions.length + 1);
    key.versions.push(key.primary);
  }

  /** Puts the key's versions that are not destroyed, or those of them chosen, into a state. */
  setState(name: string, state: GoogleVersionState, which: "all" | "primary" | "older" = "all"): void {
    const key = this.#key(name);
    for (const version of key.versions) {
      if (version.state === "DESTROYED") continue;
      if (which !== "all" && (version === key.primary) !== (which === "primary")) continue;
      version.state = state;
      if (state === "DESTROYED") version.material = undefined;
    }
  }

  /** UpdateCryptoKeyPrimaryVersion, to any version that is there. */
  makePrimary(name: string, number: number): void {
    const key = this.#key(name);
    const version = key.versions.find((version) => version.number === number);
    if (version === undefined) throw new Error(`${name} has no version ${number}`);
    key.primary = version;
  }

  forbid(name: string): void {
    this.#forbidden.add(name);
  }

  permit(name: string): void {
    this.#forbidden.delete(name);
  }

  encrypt(request: GoogleEncryptRequest) {
    const { key: keyName, version: versionName } = parseName(request.name);
    checkData("plaintext", request.plaintext, request.plaintextCrc32c);
    checkAad(request);
    const key = this.#permitted(keyName, "cloudkms.cryptoKeyVersions.useToEncrypt");
    const version =
      versionName === undefined ? key.primary : key.versions.find(({ name }) => name === request.name);
    if (version === undefined) throw notFound(`CryptoKeyVersion ${request.name}`);
    const ciphertext = seal(version, request.plaintext, request.additionalAuthenticatedData);
    return {
      name: version.name,
      ciphertext,
      ciphertextCrc32c: crc32c(ciphertext),
      verifiedPlaintextCrc32c: request.plaintextCrc32c !== undefined,
      verifiedAdditionalAuthenticatedDataCrc32c: request.additionalAuthenticatedDataCrc32c !== undefined,
    };
  }

  decrypt(request: GoogleDecryptRequest) {
    const { key: keyName, version } = parseName(request.name);
    if (version !== undefined)
      throw invalid(`${request.name} is not a valid resource type for this request.`);
    if (request.ciphertext.length === 0) throw invalid("The ciphertext field is required.");
    checkCrc("ciphertext", request.ciphertext, request.ciphertextCrc32c);
    checkAad(request);
    const key = this.#permitted(keyName, "cloudkms.cryptoKeyVersions.useToDecrypt");
    const used = versionOf(key, request.ciphertext);
    const plaintext = unseal(used, request.ciphertext, request.additionalAuthenticatedData);
    return { plaintext, plaintextCrc32c: crc32c(plaintext), usedPrimary: used === key.primary };
  }

  getCryptoKey(name: string) {
    const { key: keyName, version } = parseName(name);
    if (version !== undefined) throw invalid(`${name} is not a valid resource type for this request.`);
    const { primary } = this.#permitted(keyName, "cloudkms.cryptoKeys.get");
    return {
      name,
      purpose: "ENCRYPT_DECRYPT",
      primary: { name: primary.name, state: primary.state },
    } as const;
  }

  #permitted(name: string, permission: string): CryptoKey {
    const key = this.#keys.get(name);
    if (this.#forbidden.has(name) || (key === undefined && this.grantedOn === "keys")) {
      throw denied(permission, name);
    }
    if (key === undefined) throw notFound(`CryptoKey ${name}`);
    return key;
  }

  #key(name: string): CryptoKey {
    const key = this.#keys.get(name);
    if (key === undefined) throw new Error(`the fake has no key ${name}`);
    return key;
  }
}

/** As a request is answered that was sent to the wrong location, or to one where there is no Cloud KMS. */
export function checkLocation(name: string, sentTo: string): void {
  const { location } = parseName(name);
  const served = LOCATIONS.has(sentTo) ? sentTo : "global";
  if (location === served) return;
  throw new GoogleStatus(
    "NOT_FOUND",
    `The request concerns location '${location}' but was sent to location '${served}'. ` +
      `Either Cloud KMS is not available in '${location}' or the request was misrouted.`,
  );
}

export function locationOf(name: string): string | undefined {
  return NAME.exec(name)?.[3];
}

function parseName(name: string) {
  const [, key, , location, , , version] = NAME.exec(name) ?? [];
  if (key === undefined || location === undefined)
    throw invalid(`Resource name [${name}] does not match a CryptoKey.`);
  return { key, location, version };
}

function newVersion(key: string, number: number): Version {
  // An identifier grows with the number of versions there are in the world: both recorded lengths occur.
  const id = randomBytes(number % 2 === 1 ? 36 : 37);
  const name = `${key}/cryptoKeyVersions/${number}`;
  return { number, name, id, material: randomBytes(32), state: "ENABLED" };
}

/** Field 1: the version's identifier. Field 2: nonce, filler, ciphertext, tag. 113 or 114 bytes for 32, as real ones. */
function seal(version: Version, plaintext: Uint8Array, aad: Uint8Array): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const filler = randomBytes(FILLER_BYTES);
  const cipher = createCipheriv("aes-256-gcm", materialOf(version), nonce);
  cipher.setAAD(Buffer.concat([filler, aad]));
  const body = [nonce, filler, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()];
  return Buffer.concat([bytes(1, version.id), bytes(2, Buffer.concat(body))]);
}

function unseal(version: Version, ciphertext: Uint8Array, aad: Uint8Array): Uint8Array {
  const material = materialOf(version);
  const body = readField(2, Buffer.from(ciphertext).subarray(2 + version.id.length));
  const [textAt, tagAt] = [NONCE_BYTES + FILLER_BYTES, (body?.length ?? 0) - TAG_BYTES];
  if (body === undefined || tagAt < textAt) throw undecipherable();
  try {
    const decipher = createDecipheriv("aes-256-gcm", material, body.subarray(0, NONCE_BYTES));
    decipher.setAAD(Buffer.concat([body.subarray(NONCE_BYTES, textAt), aad]));
    decipher.setAuthTag(body.subarray(tagAt));
    return Buffer.concat([decipher.update(body.subarray(textAt, tagAt)), decipher.final()]);
  } catch {
    throw undecipherable();
  }
}

function versionOf(key: CryptoKey, ciphertext: Uint8Array): Version {
  const encoded = Buffer.from(ciphertext);
  const version = key.versions.find(({ id }) => encoded.subarray(0, 2 + id.length).equals(bytes(1, id)));
  if (version === undefined) throw undecipherable();
  return version;
}

function materialOf({ name, state, material }: Version): Buffer {
  if (state === "ENABLED" && material !== undefined) return material;
  throw new GoogleStatus("FAILED_PRECONDITION", `${name} is not enabled, current state is: ${state}.`);
}

/** The value, if the bytes are that field and nothing more. */
function readField(number: number, encoded: Buffer): Buffer | undefined {
  for (let head = 2; head <= 5; head++) {
    const value = encoded.subarray(head);
    if (encoded.equals(bytes(number, value))) return value;
  }
  return undefined;
}

function checkData(field: string, data: Uint8Array, sum: number | undefined): void {
  if (data.length > MAX_DATA_BYTES) throw invalid(`The ${field} field must be no larger than 64 KiB.`);
  checkCrc(field, data, sum);
}

function checkAad(request: GoogleEncryptRequest | GoogleDecryptRequest): void {
  const { additionalAuthenticatedData: aad, additionalAuthenticatedDataCrc32c: sum } = request;
  checkData("additional_authenticated_data", aad, sum);
}

function checkCrc(field: string, data: Uint8Array, sum: number | undefined): void {
  if (sum === undefined || sum === crc32c(data)) return;
  throw invalid(`The checksum in field ${field}_crc32c did not match the data in field ${field}.`);
}

function invalid(message: string): GoogleStatus {
  return new GoogleStatus("INVALID_ARGUMENT", message);
}

function undecipherable(): GoogleStatus {
  return invalid("Decryption failed: the ciphertext is invalid.");
}

function notFound(what: string): GoogleStatus {
  return new GoogleStatus("NOT_FOUND", `${what} not found.`);
}

export function denied(permission: string, resource: string): GoogleStatus {
  return new GoogleStatus(
    "PERMISSION_DENIED",
    `Permission '${permission}' denied on resource '${resource}' (or it may not exist).`,
    {
      reason: "IAM_PERMISSION_DENIED",
      domain: "cloudkms.googleapis.com",
      metadata: { permission, resource },
    },
  );
}
