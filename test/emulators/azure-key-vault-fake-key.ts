import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  type KeyObject,
  privateDecrypt,
  publicEncrypt,
  randomBytes,
} from "node:crypto";

export interface FakeKeyOptions {
  readonly kty?: "RSA" | "RSA-HSM" | "oct-HSM" | "EC";
  /** 2048, 3072, 4096 for RSA; 128, 192, 256 for oct-HSM. */
  readonly bits?: number;
  readonly keyOps?: readonly string[];
}

const DAYS = 90;
const RSA_OPS = ["encrypt", "decrypt", "sign", "verify", "wrapKey", "unwrapKey"];
const OCT_OPS = ["encrypt", "decrypt", "wrapKey", "unwrapKey"];

/** A key and its versions, the newest last. */
export class FakeKey {
  readonly name: string;
  readonly versions: FakeVersion[] = [];
  readonly #options: Required<FakeKeyOptions>;

  constructor(name: string, { kty = "RSA", bits, keyOps }: FakeKeyOptions, now: number) {
    this.name = name;
    const symmetric = kty === "oct-HSM";
    this.#options = {
      kty,
      bits: bits ?? (symmetric ? 256 : 2048),
      keyOps: keyOps ?? (symmetric ? OCT_OPS : RSA_OPS),
    };
    this.addVersion(now);
  }

  addVersion(now: number, bits = this.#options.bits): FakeVersion {
    const version = new FakeVersion({ ...this.#options, bits }, now);
    this.versions.push(version);
    return version;
  }

  version(name: string): FakeVersion | undefined {
    return name === "" ? this.versions.at(-1) : this.versions.find((version) => version.name === name);
  }

  select(which: "latest" | "older" | "all"): readonly FakeVersion[] {
    if (which === "all") return this.versions;
    return which === "latest" ? this.versions.slice(-1) : this.versions.slice(0, -1);
  }

  removeOlder(): void {
    this.versions.splice(0, this.versions.length - 1);
  }
}

export class FakeVersion {
  /** 32 hexadecimal digits. */
  readonly name = randomBytes(16).toString("hex");
  readonly kty: string;
  enabled = true;
  /** Seconds since the epoch. */
  nbf: number | undefined;
  exp: number | undefined;
  keyOps: readonly string[];
  readonly #created: number;
  readonly #bits: number;
  readonly #material: Material;

  constructor({ kty, bits, keyOps }: Required<FakeKeyOptions>, now: number) {
    this.kty = kty;
    this.keyOps = keyOps;
    this.#bits = bits;
    this.#created = Math.floor(now / 1000);
    this.#material = materialFor(kty, bits);
  }

  /** KeyBundle: of a symmetric key, no material and no size. */
  bundle(kid: string): object {
    const { n, e, crv, x, y } = this.#material.publicKey?.export({ format: "jwk" }) ?? {};
    return {
      key: { kid, kty: this.kty, key_ops: this.keyOps, n, e, crv, x, y },
      attributes: {
        enabled: this.enabled,
        nbf: this.nbf,
        exp: this.exp,
        created: this.#created,
        updated: this.#created,
        recoveryLevel: "Recoverable+Purgeable",
        recoverableDays: DAYS,
      },
    };
  }

  /** A text is what is wrong with the parameters. */
  wrap(alg: string, value: Buffer): Buffer | string {
    const { publicKey, secret } = this.#material;
    if (secret !== undefined) {
      if (alg !== `A${this.#bits}KW`) return "Key and encryption algorithm are incompatible.";
      if (value.length < 16 || value.length % 8 !== 0)
        return "The value's size is not one that AES key wrap takes.";
      const cipher = createCipheriv(kwCipher(this.#bits), secret, KW_IV);
      return Buffer.concat([cipher.update(value), cipher.final()]);
    }
    const padding = RSA_PADDINGS.get(alg);
    if (padding === undefined || !this.kty.startsWith("RSA") || publicKey === undefined) {
      return "Key and encryption algorithm are incompatible.";
    }
    if (value.length > this.#bits / 8 - padding.overhead) return "The value is too long for this key.";
    return publicEncrypt({ key: publicKey, ...padding.options }, value);
  }

  unwrap(alg: string, value: Buffer): Buffer | string {
    const { privateKey, secret } = this.#material;
    try {
      if (secret !== undefined) {
        if (alg !== `A${this.#bits}KW`) return "Key and encryption algorithm are incompatible.";
        const decipher = createDecipheriv(kwCipher(this.#bits), secret, KW_IV);
        return Buffer.concat([decipher.update(value), decipher.final()]);
      }
      const padding = RSA_PADDINGS.get(alg);
      if (padding === undefined || !this.kty.startsWith("RSA") || privateKey === undefined) {
        return "Key and encryption algorithm are incompatible.";
      }
      if (value.length !== this.#bits / 8) return "The parameter is incorrect.";
      return privateDecrypt({ key: privateKey, ...padding.options }, value);
    } catch {
      return "Error occurred while decoding OAEP padding.";
    }
  }
}

const KW_IV = Buffer.alloc(8, 0xa6);
const kwCipher = (bits: number) => `id-aes${bits}-wrap`;

const RSA_PADDINGS = new Map([
  ["RSA1_5", { overhead: 11, options: { padding: constants.RSA_PKCS1_PADDING } }],
  ["RSA-OAEP", { overhead: 42, options: { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha1" } }],
  [
    "RSA-OAEP-256",
    { overhead: 66, options: { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: "sha256" } },
  ],
]);

interface Material {
  readonly publicKey?: KeyObject;
  readonly privateKey?: KeyObject;
  readonly secret?: Buffer;
}

/** Making RSA keys takes long: a few of each size go round, so that versions that follow each other differ. */
const POOL_SIZE = 3;
const pools = new Map<number, Material[]>();
let taken = 0;

function materialFor(kty: string, bits: number): Material {
  if (kty === "oct-HSM") return { secret: randomBytes(bits / 8) };
  if (kty === "EC") return generateKeyPairSync("ec", { namedCurve: "P-256" });
  const pool = pools.get(bits) ?? [];
  pools.set(bits, pool);
  if (pool.length < POOL_SIZE) {
    const made = generateKeyPairSync("rsa", { modulusLength: bits });
    pool.push(made);
    return made;
  }
  const material = pool[taken++ % POOL_SIZE];
  if (material === undefined) throw new Error("an empty pool");
  return material;
}
