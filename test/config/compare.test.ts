import { describe, expect, it } from "vitest";

import { compareConfigs } from "../../src/config/compare.ts";
import type { BrokerConfig } from "../../src/config/schema.ts";
import { ARN, OTHER_ARN, parseValue } from "./fixture.ts";

const AWS = { awsKms: { keyArn: ARN } };
const US = { awsKms: { keyArn: OTHER_ARN } };
const reader = (member: object) => ({ ...member, use: "unwrap" });
const KEY_1 = `${"A".repeat(43)}=`;
const KEY_2 = `${"B".repeat(42)}A=`;
const dev = (...keys: string[]) => ({
  local: { keys: keys.map((key, index) => ({ version: `v${index + 1}`, key })), primary: "v1" },
});

const GCP = { gcpKms: { cryptoKey: "projects/p/locations/l/keyRings/r/cryptoKeys/k" } };
const AZ = { azureKeyVault: { keyUrl: "https://kek.vault.azure.net/keys/k" } };
const HSM = { azureKeyVault: { keyUrl: "https://kek.managedhsm.azure.net/keys/k" } };
const STANDS_FOR_ANOTHER =
  "keks.prod.members.m: stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap";

interface Spec {
  /** The KEK `prod`. */
  readonly kek?: object;
  readonly keks?: object;
  readonly clusters?: object;
  readonly identity?: object;
}

function configOf({ kek = { members: { aws: AWS } }, ...rest }: Spec): BrokerConfig {
  return parseValue({
    audience: "https://kek.example.com",
    allowDevelopmentKeys: true,
    keks: { prod: kek },
    ...rest,
  });
}

/** What is told, shortened to what identifies it. */
function told(old: Spec, next: Spec): string[] {
  return compareConfigs(configOf(old), configOf(next)).map(({ path, message }) => `${path}: ${message}`);
}

const kek = (members: object, more: object = {}) => ({ kek: { members, ...more } });
const ALLOWED: [name: string, old: Spec, next: Spec][] = [
  ["nothing changed", kek({ aws: AWS }), kek({ aws: AWS })],
  ["a new member that only reads", kek({ aws: AWS }), kek({ aws: AWS, us: reader(US) })],
  [
    "a reader that begins to wrap",
    kek({ aws: AWS, us: reader(US) }),
    kek({ aws: AWS, us: US }, { epoch: 1 }),
  ],
  [
    "a member that stops wrapping",
    kek({ aws: AWS, us: US }),
    kek({ aws: AWS, us: reader(US) }, { epoch: 1 }),
  ],
  ["a reader that goes", kek({ aws: AWS, us: reader(US) }), kek({ aws: AWS })],
  ["members in another order", kek({ aws: AWS, us: US }), kek({ us: US, aws: AWS })],
  [
    "another endpoint of the same key",
    kek({ aws: AWS }),
    kek({ aws: { awsKms: { keyArn: ARN, endpoint: "https://vpce.example.com" } } }),
  ],
  [
    "another way to the same Google key",
    kek({ m: GCP }),
    kek({ m: { gcpKms: { ...GCP.gcpKms, transport: "rest", endpoint: "https://kms.p.googleapis.com" } } }),
  ],
  [
    "a larger key in an Azure vault",
    kek({ m: AZ }),
    kek({ m: { azureKeyVault: { ...AZ.azureKeyVault, bits: 4096 } } }),
  ],
  [
    "federation in place of the platform's credentials",
    kek({ m: AWS }),
    {
      ...kek({
        m: { awsKms: { keyArn: ARN, federation: { roleArn: "arn:aws:iam::111122223333:role/r" } } },
      }),
      identity: { platform: "google" },
    },
  ],
  ["a new version of a local key", kek({ dev: dev(KEY_1) }), kek({ dev: dev(KEY_1, KEY_2) })],
  ["a higher epoch alone", kek({ aws: AWS }, { epoch: 1 }), kek({ aws: AWS }, { epoch: 7 })],
  [
    "a new KEK that wraps at once",
    {},
    { keks: { prod: { members: { aws: AWS } }, next: { members: { us: US } } } },
  ],
  [
    "a KEK that nobody may use removed",
    { keks: { prod: { members: { aws: AWS } }, old: { members: { us: US } } } },
    {},
  ],
  ["a new cluster", {}, { clusters: { eu: { id: "eu" } } }],
  ["a cluster removed", { clusters: { eu: { id: "eu" } } }, {}],
  [
    "a cluster renamed, its id kept",
    { clusters: { eu: { id: "eu" } } },
    { clusters: { "eu-1": { id: "eu" } } },
  ],
];

const REFUSED: [name: string, old: Spec, next: Spec, ...told: string[]][] = [
  [
    "a new member that wraps at once",
    kek({ aws: AWS }),
    kek({ aws: AWS, us: US }, { epoch: 1 }),
    "keks.prod.members.us.use: is new and wraps at once: brokers that run the old configuration could not open that. Add it with use: unwrap everywhere first",
  ],
  [
    "a name that stands for another key",
    kek({ aws: AWS }),
    kek({ aws: US }),
    "keks.prod.members.aws: stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap",
  ],
  [
    "a name that stands for another provider's key",
    kek({ aws: AWS, x: reader(US) }),
    kek({ aws: AWS, x: reader(dev(KEY_1)) }),
    "keks.prod.members.x: stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap",
  ],
  [
    "a name that stands for another Google key",
    kek({ m: GCP }),
    kek({ m: { gcpKms: { cryptoKey: `${GCP.gcpKms.cryptoKey}2` } } }),
    STANDS_FOR_ANOTHER,
  ],
  [
    "a name that stands for another Azure key",
    kek({ m: AZ }),
    kek({ m: { azureKeyVault: { keyUrl: "https://kek-2.vault.azure.net/keys/k" } } }),
    STANDS_FOR_ANOTHER,
  ],
  [
    "another algorithm for an Azure key",
    kek({ m: HSM }, { allowRsaOnly: true }),
    kek({ m: { azureKeyVault: { ...HSM.azureKeyVault, algorithm: "A256KW" } } }, { allowRsaOnly: true }),
    STANDS_FOR_ANOTHER,
  ],
  [
    "a name that moves from cloud to cloud",
    kek({ m: GCP }, { allowRsaOnly: true }),
    kek({ m: AZ }, { allowRsaOnly: true }),
    STANDS_FOR_ANOTHER,
  ],
  [
    "another key under a local version",
    kek({ dev: dev(KEY_1) }),
    kek({ dev: dev(KEY_2) }),
    "keks.prod.members.dev: stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap",
  ],
  [
    "a local version taken away",
    kek({ dev: dev(KEY_1, KEY_2) }),
    kek({ dev: dev(KEY_1) }),
    "keks.prod.members.dev: stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap",
  ],
  [
    "a wrapping member removed",
    kek({ aws: AWS, us: US }),
    kek({ aws: AWS }, { epoch: 1 }),
    "keks.prod.members.us: is removed while it wraps: set use: unwrap first, and remove it when nothing sealed by it is left, backups included",
  ],
  [
    "other members wrap in the same epoch",
    kek({ aws: AWS, us: reader(US) }, { epoch: 3 }),
    kek({ aws: AWS, us: US }, { epoch: 3 }),
    "keks.prod.epoch: must be raised to 4 or more: the members that wrap changed",
  ],
  [
    "a lower epoch",
    kek({ aws: AWS }, { epoch: 3 }),
    kek({ aws: AWS }, { epoch: 2 }),
    "keks.prod.epoch: is lowered from 3: an epoch only rises, or shims would meet a key id they have left",
  ],
  [
    "a KEK removed that clusters may use",
    { clusters: { eu: { id: "eu", allow: [{ kek: "prod", operations: ["unwrap"] }] }, us: { id: "us" } } },
    { keks: {} },
    "keks.prod: is removed while eu may use it: nothing it sealed can be opened again. Move the data to another KEK, take the grants away, then remove it",
  ],
  [
    "another id under the same name",
    { clusters: { eu: { id: "eu" } } },
    { clusters: { eu: { id: "eu-1" } } },
    "clusters.eu.id: is no longer eu: the cluster could not open what it has. An id stays; a new cluster gets a new name",
  ],
  [
    "two ids exchanged",
    { clusters: { eu: { id: "eu" }, us: { id: "us" } } },
    { clusters: { eu: { id: "us" }, us: { id: "eu" } } },
    "clusters.eu.id: is no longer eu: the cluster could not open what it has. An id stays; a new cluster gets a new name",
    "clusters.us.id: is no longer us: the cluster could not open what it has. An id stays; a new cluster gets a new name",
  ],
];

describe("the change from one configuration to the next", () => {
  it.each(ALLOWED)("may be: %s", (_name, old, next) => expect(told(old, next)).toEqual([]));
  it.each(REFUSED)("is refused: %s", (_name, old, next, ...lines) => expect(told(old, next)).toEqual(lines));

  it("tells everything at once", () => {
    const old = kek({ aws: AWS, us: US }, { epoch: 1 });
    expect(told(old, kek({ aws: US, new: AWS })).map((line) => line.split(":")[0])).toEqual([
      "keks.prod.members.aws",
      "keks.prod.members.us",
      "keks.prod.members.new.use",
      "keks.prod.epoch",
    ]);
  });

  it("asks for a higher epoch when the threshold changes", () => {
    const [old, next] = [configOf(kek({ aws: AWS, us: US })), configOf(kek({ aws: AWS, us: US }))];
    const prod = next.keks["prod"];
    expect(prod).toBeDefined();
    if (prod !== undefined) prod.threshold = 2;
    expect(compareConfigs(old, next).map(({ message }) => message)).toEqual([
      "must be raised to 1 or more: the threshold changed",
    ]);
  });

  it("reads names every object has as names", () => {
    const old = { clusters: { constructor: { id: "a" } } };
    expect(told(old, {})).toEqual([]);
    expect(told({ keks: { constructor: { members: { aws: AWS } } } }, {})).toEqual([]);
  });
});
