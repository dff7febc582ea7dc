import { rawEnvelope, rawHead, rawMember, sealRaw } from "./parts.ts";
import type { RawHead, RawMember } from "./parts.ts";
import { bytes, concat, text, uint, varint } from "./protobuf.ts";
import type { Bytes } from "./protobuf.ts";
import { stream } from "./stream.ts";
import type { NegativeVector, VectorMember, VectorRequest } from "./vector.ts";

const KEK = "prod-secrets";
const CLUSTER = "prod-eu-1";
const KEY_ID = "prod-secrets.0.abcdefghijklmnop";
const hex = (part: Uint8Array) => Array.from(part, (byte) => byte.toString(16).padStart(2, "0")).join("");

const w = stream("negative w", 32);
const plaintext = stream("negative plaintext", 32);
const awsWrap = stream("negative aws wrap", 24);
const azureWrap = stream("negative azure wrap", 20);
const none: Bytes = new Uint8Array();
const azureVersion = stream("negative azure version", 16);

const aws = { name: "aws", wrap: awsWrap };
const azure = { name: "azure", openVersion: azureVersion, wrap: azureWrap };
const base = { version: 1, kek: KEK, cluster: CLUSTER, keyId: KEY_ID, threshold: 1, members: [aws, azure] };

const request: VectorRequest = { kek: KEK, clusters: CLUSTER, minThreshold: 1, allowRsaOnly: false };
const member = (name: string, symmetric: boolean, wraps: VectorMember["wraps"], available = true) => ({
  name,
  symmetric,
  available,
  wraps,
});
const opens = (wrap: Bytes, to: Bytes = w, openVersion: Bytes = new Uint8Array()) => ({
  wrap: hex(wrap),
  openVersion: hex(openVersion),
  unwrapsTo: hex(to),
});
const configured = [
  member("aws", true, [opens(awsWrap)]),
  member("azure", false, [opens(azureWrap, w, azureVersion)]),
];

function flip(part: Bytes, bit: number): Bytes {
  return part.map((byte, index) => (index === bit >> 3 ? byte ^ (1 << (bit & 7)) : byte));
}

interface Changes {
  readonly request?: Partial<VectorRequest>;
  readonly members?: readonly VectorMember[];
  readonly code?: string;
}

function vector(name: string, envelope: Bytes, changes: Changes = {}): NegativeVector {
  return {
    name,
    code: changes.code ?? "InvalidEnvelope",
    request: { ...request, ...changes.request },
    members: changes.members ?? configured,
    envelope: hex(envelope),
  };
}

/** Envelopes that must not open. Where the head breaks a rule the rest is sealed correctly, so only the rule refuses. */
export async function refusedVectors(): Promise<readonly NegativeVector[]> {
  return [...(await outside()), ...(await altered()), ...(await inHead()), ...(await requests())];
}

async function outside(): Promise<readonly NegativeVector[]> {
  const parts = await sealRaw(rawHead(base), w, plaintext);
  const { head, commitment, ciphertext } = parts;
  const whole = rawEnvelope(parts);
  const [one, two, three] = [bytes(1, head), bytes(2, commitment), bytes(3, ciphertext)];
  const large = [
    aws,
    ...Array.from({ length: 4 }, (_, index) => ({
      name: `large-${index}`,
      wrap: stream("negative large", 1000),
    })),
  ];
  const sealing = (length: number) => sealRaw(rawHead(base), w, stream("negative length", length));
  return [
    vector("nothing at all", new Uint8Array()),
    vector("the last byte missing", whole.slice(0, -1)),
    vector("a byte behind it", concat(whole, Uint8Array.of(0))),
    vector("an unknown field behind it", concat(whole, bytes(4, Uint8Array.of(1)))),
    vector("an unknown field before it", concat(uint(9, 1), whole)),
    vector("fields in another order", concat(two, one, three)),
    vector("the head twice", concat(one, one, two, three)),
    vector(
      "the commitment twice, the first one wrong",
      concat(one, bytes(2, flip(commitment, 0)), two, three),
    ),
    vector("no head", concat(two, three)),
    vector("no commitment", concat(one, three)),
    vector("no ciphertext", concat(one, two)),
    vector(
      "a length of more bytes than needed",
      concat(one, Uint8Array.of(0x12), varint(32, 2), commitment, three),
    ),
    vector(
      "a tag of more bytes than needed",
      concat(one, Uint8Array.of(0x92, 0x00), varint(32), commitment, three),
    ),
    vector("a length past the end", concat(one, two, Uint8Array.of(0x1a, 0x7f), ciphertext)),
    vector("the commitment as a number", concat(one, uint(2, 1), three)),
    vector("a commitment of 31 bytes", rawEnvelope({ ...parts, commitment: commitment.slice(1) })),
    vector(
      "a commitment of 33 bytes",
      rawEnvelope({ ...parts, commitment: concat(commitment, Uint8Array.of(0)) }),
    ),
    vector("a sealed plaintext of no bytes", rawEnvelope(await sealing(0))),
    vector("a sealed plaintext of 257 bytes", rawEnvelope(await sealing(257))),
    vector(
      "more than 4096 bytes, else in order",
      rawEnvelope(await sealRaw(rawHead({ ...base, members: large }), w, plaintext)),
    ),
  ];
}

async function altered(): Promise<readonly NegativeVector[]> {
  const parts = await sealRaw(rawHead(base), w, plaintext);
  const { head, commitment, ciphertext } = parts;
  const otherHead = rawHead({ ...base, keyId: "prod-secrets.1.abcdefghijklmnop" });
  const other = await sealRaw(otherHead, w, plaintext);
  const under = (changed: RawHead) => rawEnvelope({ ...parts, head: rawHead(changed) });
  const flippedWrap = flip(awsWrap, 3);
  return [
    vector("the commitment's first bit", rawEnvelope({ ...parts, commitment: flip(commitment, 0) })),
    vector("the commitment's last bit", rawEnvelope({ ...parts, commitment: flip(commitment, 255) })),
    vector("the ciphertext's first bit", rawEnvelope({ ...parts, ciphertext: flip(ciphertext, 0) })),
    vector("the tag's last bit", rawEnvelope({ ...parts, ciphertext: flip(ciphertext, 48 * 8 - 1) })),
    vector(
      "the ciphertext shorter by a byte",
      rawEnvelope({ ...parts, ciphertext: ciphertext.slice(0, -1) }),
    ),
    vector("another head's commitment", rawEnvelope({ ...parts, commitment: other.commitment })),
    vector(
      "another head's ciphertext under the right commitment",
      rawEnvelope({ ...parts, ciphertext: other.ciphertext }),
    ),
    vector("another head under this commitment and ciphertext", rawEnvelope({ ...parts, head: otherHead })),
    vector("the KEK renamed, and asked for by the new name", under({ ...base, kek: "prod-secret5" }), {
      request: { kek: "prod-secret5" },
    }),
    vector("the cluster renamed, and asked for by the new name", under({ ...base, cluster: "prod-eu-2" }), {
      request: { clusters: "prod-eu-2" },
    }),
    vector(
      "the key id removed",
      under({ version: 1, kek: KEK, cluster: CLUSTER, threshold: 1, members: base.members }),
    ),
    vector("members in another order", under({ ...base, members: [azure, aws] })),
    vector("a member removed", under({ ...base, members: [aws] })),
    vector("a member added", under({ ...base, members: [aws, azure, { name: "gcp", wrap: awsWrap }] })),
    vector(
      "the opening wrap changed, though its member opens it to the right W",
      under({ ...base, members: [{ ...aws, wrap: flippedWrap }, azure] }),
      {
        members: [member("aws", true, [opens(flippedWrap)])],
      },
    ),
    vector(
      "the opening wrap changed, and its member refuses it",
      under({ ...base, members: [{ ...aws, wrap: flippedWrap }, azure] }),
    ),
    vector(
      "a wrap changed that is not used",
      under({ ...base, members: [aws, { ...azure, wrap: flip(azureWrap, 0) }] }),
    ),
    vector(
      "a key version changed that is not used",
      under({ ...base, members: [aws, { ...azure, openVersion: flip(azureVersion, 0) }] }),
    ),
    vector("the member opens its wrap to another W", rawEnvelope(parts), {
      members: [member("aws", true, [opens(awsWrap, flip(w, 0))]), ...configured.slice(1)],
    }),
    vector("the member opens its wrap to half of W", rawEnvelope(parts), {
      members: [member("aws", true, [opens(awsWrap, w.slice(0, 16))]), ...configured.slice(1)],
    }),
    vector("the member opens its wrap to W and a byte more", rawEnvelope(parts), {
      members: [member("aws", true, [opens(awsWrap, concat(w, Uint8Array.of(0)))]), ...configured.slice(1)],
    }),
    vector("the head cut short", rawEnvelope({ ...parts, head: head.slice(0, -1) })),
  ];
}

async function inHead(): Promise<readonly NegativeVector[]> {
  const sealed = async (head: Bytes) => rawEnvelope(await sealRaw(head, w, plaintext));
  const ruleBroken = async (name: string, changes: Partial<RawHead>, options: Changes = {}) =>
    vector(`head: ${name}`, await sealed(rawHead({ ...base, ...changes })), options);
  const bytesChanged = async (name: string, head: Bytes) => vector(`head: ${name}`, await sealed(head));
  /** Configured to open, so that only the rule is in the way. */
  const alone = (name: string, raw: RawMember) =>
    ruleBroken(
      name,
      { members: [raw] },
      { members: [member(raw.name ?? "", true, [opens(raw.wrap ?? none, w, raw.openVersion)])] },
    );
  const plain = rawHead(base);
  const withoutThreshold = rawHead({ version: 1, kek: KEK, cluster: CLUSTER, keyId: KEY_ID, members: [aws] });
  const withShares = rawHead({
    version: 1,
    kek: KEK,
    cluster: CLUSTER,
    keyId: KEY_ID,
    members: [{ ...aws, share: 1 }],
  });
  const many = (count: number) =>
    Array.from({ length: count }, (_, index) => ({ ...aws, name: `aws-${index}` }));
  const longAgo = { ...base, kek: "a".repeat(41) };
  return [
    await ruleBroken("version 2", { version: 2 }, { code: "UnsupportedVersion" }),
    await ruleBroken("version 4294967295", { version: 4_294_967_295 }, { code: "UnsupportedVersion" }),
    await bytesChanged("no version", plain.slice(2)),
    await bytesChanged("version 0 written out", concat(uint(1, 0), plain.slice(2))),
    await bytesChanged("version 1 in two bytes", concat(Uint8Array.of(0x08, 0x81, 0x00), plain.slice(2))),
    await bytesChanged(
      "version 1 above 32 bits",
      concat(Uint8Array.of(0x08, 0x81, 0x80, 0x80, 0x80, 0x10), plain.slice(2)),
    ),
    await bytesChanged("empty", new Uint8Array()),
    await bytesChanged("an unknown field", concat(plain, uint(7, 1))),
    await bytesChanged("fields in another order", concat(plain.slice(2), plain.slice(0, 2))),
    await bytesChanged("the KEK twice", concat(plain.slice(0, 2), text(2, KEK), plain.slice(2))),
    await bytesChanged(
      "an unknown field in a member",
      concat(
        withoutThreshold.slice(0, 2),
        text(2, KEK),
        text(3, CLUSTER),
        text(4, KEY_ID),
        uint(5, 1),
        bytes(6, concat(rawMember(aws), uint(5, 1))),
      ),
    ),
    await bytesChanged(
      "a share of 0 written out",
      concat(
        withoutThreshold.slice(0, 2),
        text(2, KEK),
        text(3, CLUSTER),
        text(4, KEY_ID),
        uint(5, 1),
        bytes(6, rawMember({ ...aws, share: 0 })),
      ),
    ),
    await bytesChanged("an empty key id written out", rawHead({ ...base, keyId: "" })),
    await bytesChanged(
      "a KEK that is not UTF-8",
      concat(plain.slice(0, 2), bytes(2, Uint8Array.of(0xff, 0xfe)), plain.slice(2 + 14)),
    ),
    vector("head: a KEK of 41 characters", await sealed(rawHead(longAgo)), { request: { kek: longAgo.kek } }),
    vector("head: a KEK in capitals", await sealed(rawHead({ ...base, kek: "PROD" })), {
      request: { kek: "PROD" },
    }),
    await ruleBroken("a cluster with a dot", { cluster: "prod.eu" }, { request: { clusters: "prod.eu" } }),
    await ruleBroken(
      "a cluster ending in a newline",
      { cluster: "prod\n" },
      { request: { clusters: "prod\n" } },
    ),
    await ruleBroken("a key id with a space", { keyId: "a b" }),
    await ruleBroken("a key id of 129 characters", { keyId: "a".repeat(129) }),
    await ruleBroken("no members", { members: [] }),
    await ruleBroken("9 members", { members: many(9) }),
    await ruleBroken("a member twice", { members: [aws, aws] }),
    await alone("a member without a name", { wrap: awsWrap }),
    await alone("a member named with a slash", { ...aws, name: "aws/1" }),
    await alone("a member without a wrap", { name: "aws" }),
    await alone("a wrap of 1025 bytes", { ...aws, wrap: stream("negative long wrap", 1025) }),
    await alone("a key version of 15 bytes", { ...aws, openVersion: azureVersion.slice(1) }),
    await alone("a key version of 17 bytes", { ...aws, openVersion: concat(azureVersion, Uint8Array.of(0)) }),
    await alone("a share where the threshold is 1", { ...aws, share: 1 }),
    await bytesChanged("no threshold", withoutThreshold),
    await bytesChanged("no threshold, with shares", withShares),
    await ruleBroken("a threshold above its members", {
      threshold: 3,
      members: [
        { ...aws, share: 1 },
        { ...azure, share: 2 },
      ],
    }),
    await ruleBroken("a threshold of 2 without shares", { threshold: 2 }),
    await ruleBroken("a threshold of 2 with one share of 0", {
      threshold: 2,
      members: [aws, { ...azure, share: 1 }],
    }),
    await ruleBroken("a threshold of 2 with one share twice", {
      threshold: 2,
      members: [
        { ...aws, share: 1 },
        { ...azure, share: 1 },
      ],
    }),
    await ruleBroken("a threshold of 2 with share 256", {
      threshold: 2,
      members: [
        { ...aws, share: 1 },
        { ...azure, share: 256 },
      ],
    }),
    await ruleBroken(
      "a threshold of 2, well formed",
      {
        threshold: 2,
        members: [
          { ...aws, share: 1 },
          { ...azure, share: 2 },
        ],
      },
      { code: "UnsupportedOperation" },
    ),
  ];
}

async function requests(): Promise<readonly NegativeVector[]> {
  const whole = rawEnvelope(await sealRaw(rawHead(base), w, plaintext));
  const rsaOnly = rawEnvelope(await sealRaw(rawHead({ ...base, members: [azure] }), w, plaintext));
  const [symmetric, rsa] = configured;
  if (symmetric === undefined || rsa === undefined) throw new Error("two members are configured");
  return [
    vector("asked for another KEK", whole, { request: { kek: "other" } }),
    vector("asked for by another cluster", whole, {
      request: { clusters: "prod-eu-2" },
      code: "SealedByAnotherCluster",
    }),
    vector("asked for by another cluster for another KEK", whole, {
      request: { kek: "other", clusters: "prod-eu-2" },
    }),
    vector("a minimum threshold of 2", whole, { request: { minThreshold: 2 }, code: "ThresholdTooLow" }),
    vector("no member configured that it names", whole, {
      members: [{ ...symmetric, name: "gcp" }],
      code: "UnknownMembers",
    }),
    vector("RSA alone where the KEK has a symmetric member", rsaOnly, { code: "RsaOnly" }),
    vector("its symmetric member not configured, another one is", whole, {
      members: [{ ...symmetric, name: "gcp" }, rsa],
      code: "RsaOnly",
    }),
    vector("every member unavailable", whole, {
      members: configured.map((each) => ({ ...each, available: false })),
      code: "Unavailable",
    }),
    vector("the symmetric member refuses, RSA would open it", whole, {
      members: [{ ...symmetric, wraps: [] }, rsa],
    }),
  ];
}
