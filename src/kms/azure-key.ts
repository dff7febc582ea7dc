import * as z from "zod";

export type AzureAlgorithm = "RSA-OAEP-256" | "A256KW";
export type AzureBits = 2048 | 3072 | 4096;

/** A key in a vault, as its URL has it. */
export interface AzureKeyName {
  /** `https://HOST` */
  readonly vaultUrl: string;
  readonly name: string;
}

/** Bytes of a version's name, which is their hexadecimal. */
export const VERSION_BYTES = 16;
const VERSION = /^[0-9a-f]{32}$/;

/** @throws TypeError for what is not `https://HOST/keys/NAME`; the configuration has checked it. */
export function parseKeyUrl(keyUrl: string): AzureKeyName {
  const { protocol, origin, pathname, search, hash, username, password } = new URL(keyUrl);
  const [, collection, name, ...more] = pathname.split("/");
  const clean = search === "" && hash === "" && username === "" && password === "";
  if (
    protocol !== "https:" ||
    collection !== "keys" ||
    name === undefined ||
    !/^[0-9A-Za-z-]{1,127}$/.test(name) ||
    more.length > 0 ||
    !clean
  ) {
    throw new TypeError("not the URL of a key without a version");
  }
  return { vaultUrl: origin, name };
}

/**
 * The version that a key id (`kid`) names, if it is one of this key: vaults answer host and name in their own case.
 * With `anyHost` the vault may call itself something else than its address.
 */
export function versionOf(kid: string, key: AzureKeyName, anyHost: boolean): string | undefined {
  const url = URL.canParse(kid) ? new URL(kid) : undefined;
  const [, collection, name, version, ...more] = url?.pathname.toLowerCase().split("/") ?? [];
  if (url === undefined || version === undefined || more.length > 0) return undefined;
  const ours = collection === "keys" && name === key.name.toLowerCase();
  const here = anyHost || url.origin === key.vaultUrl;
  return ours && here && VERSION.test(version) ? version : undefined;
}

/** @returns 16 bytes for 32 hexadecimal digits. */
export function versionBytes(version: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array((version.match(/../g) ?? []).map((digits) => Number.parseInt(digits, 16)));
}

/** What is read of the SDK's KeyVaultKey, which it makes of any answer unchecked. */
export const VaultKey = z.object({
  id: z.string(),
  keyType: z.string(),
  keyOperations: z.array(z.string()).optional(),
  properties: z.object({
    enabled: z.boolean().optional(),
    notBefore: z.date().optional(),
    expiresOn: z.date().optional(),
  }),
  key: z.object({ n: z.instanceof(Uint8Array).optional() }),
});
export type VaultKey = z.infer<typeof VaultKey>;

export interface WantedKey {
  readonly algorithm: AzureAlgorithm;
  /** Of the modulus; a symmetric key's size is not told. */
  readonly bits: AzureBits;
}

/** Why this key's version cannot wrap and unwrap now; `undefined` if it can. Names neither the key nor the vault. */
export function unusableBecause(key: VaultKey, wanted: WantedKey, now: number): string | undefined {
  const { enabled, notBefore, expiresOn } = key.properties;
  if (enabled === false) return "the key's latest version is disabled";
  if (notBefore !== undefined && now < notBefore.getTime())
    return "the key's latest version is not valid yet";
  if (expiresOn !== undefined && now >= expiresOn.getTime()) return "the key's latest version has expired";
  const types = wanted.algorithm === "A256KW" ? ["oct", "oct-HSM"] : ["RSA", "RSA-HSM"];
  if (!types.includes(key.keyType)) {
    return `the key's type is not one that ${wanted.algorithm} takes`;
  }
  const operations = key.keyOperations;
  if (operations !== undefined && !["wrapKey", "unwrapKey"].every((one) => operations.includes(one))) {
    return "the key's operations (key_ops) are without wrapKey or unwrapKey";
  }
  const modulus = key.key.n;
  if (wanted.algorithm === "RSA-OAEP-256" && modulus !== undefined && bitsOf(modulus) !== wanted.bits) {
    return "the key's size is not the configured one (bits)";
  }
  return undefined;
}

/** Of a big-endian integer, with or without leading zero bytes. */
function bitsOf(integer: Uint8Array): number {
  const first = integer.findIndex((byte) => byte !== 0);
  const top = integer[first];
  return top === undefined ? 0 : (integer.length - first) * 8 - (Math.clz32(top) - 24);
}
