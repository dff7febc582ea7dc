import { describe, expect, it } from "vitest";

import {
  ARN,
  EVERYDAY,
  issuesOf,
  KEYS,
  mistakesIn,
  parse,
  parseValue,
  PRIVATE_PART,
  small,
} from "./fixture.ts";

const LOCAL_KEY = `${"A".repeat(43)}=`;
const NAME_RULE = "use 1 to 40 lower-case letters, digits or hyphens, with no hyphen at either end";

/** `small` with another value at a path; without any when that is `undefined`. */
function spoil(path: string, value: unknown): unknown {
  return withValue(small(), path.split(" "), value);
}

function withValue(target: unknown, [step, ...rest]: readonly string[], value: unknown): unknown {
  if (step === undefined) return value;
  const copy = structuredClone(target ?? {});
  if (typeof copy === "object" && copy !== null) {
    Reflect.set(copy, step, withValue(Reflect.get(copy, step), rest, value));
  }
  return copy;
}

const KEK = "keks prod";
const MEMBERS = `${KEK} members`;
const CLUSTER = "clusters eu";
const NODE = `${CLUSTER} nodes cp-1`;
const local = (primary: string, ...versions: string[]) => ({
  local: { keys: versions.map((version) => ({ version, key: LOCAL_KEY })), primary },
});
const oidc = (more: object = {}) => ({ oidc: { issuer: "https://i.example.com", subject: "s", ...more } });
const until = "2030-01-01";

/** Name, where, what is written there, and all that is told. */
const BROKEN: [name: string, path: string, value: unknown, ...told: string[]][] = [
  ["no audience", "audience", undefined, "audience: is missing"],
  ["plain audience", "audience", "http://kek.example.com", "audience: must be an https:// URL"],
  [
    "audience with a user",
    "audience",
    "https://me@kek.example.com",
    "audience: must be a URL without user name, query or fragment",
  ],
  ["unknown field", "audiences", [], "audiences: is not a field here"],
  ["unknown field of a KEK", `${KEK} thresold`, 1, "keks.prod.thresold: is not a field here"],
  [
    "address without a port",
    "listen",
    "127.0.0.1",
    "listen: write an address as HOST:PORT, an IPv6 host in brackets",
  ],
  ["port too high", "private", "127.0.0.1:65536", "private: the port is at most 65535"],
  [
    "plain HTTP for everybody",
    "listen",
    "0.0.0.0:8080",
    "listen: is plain HTTP beyond this machine: give tls, or tlsInFront: true where the platform speaks it (Cloud Run), or listen on loopback behind a proxy",
  ],
  ["one port twice", "private", "127.0.0.1:8080", "private: is the same address as listen"],
  ["one port on all addresses", "private", "0.0.0.0:8080", "private: is the same address as listen"],
  ["half of tls", "tls", { certFile: "a.pem" }, "tls.keyFile: is missing"],
  [
    "audit to two places",
    "audit",
    { file: "a", stdout: true },
    "audit: must be {file: PATH} or {stdout: true}",
  ],
  ["audit to nowhere", "audit", { stdout: false }, "audit: must be {file: PATH} or {stdout: true}"],
  [
    "rate of nothing",
    "rateLimit",
    { principal: { perSecond: 0, burst: 1 } },
    "rateLimit.principal.perSecond: must be more than 0",
  ],
  ["text for a switch", "allowDevelopmentKeys", "yes", "allowDevelopmentKeys: must be true or false"],
  ["list for a map", "keks", [], "keks: must be names with values"],
  ["KEK's name in capitals", "keks Prod", small().keks["prod"], `keks.Prod: ${NAME_RULE}`],
  ["KEK without members", MEMBERS, {}, "keks.prod.members: needs at least one member"],
  [
    "nine members",
    MEMBERS,
    Object.fromEntries(Array.from({ length: 9 }, (_, i) => [`m${i}`, { awsKms: { keyArn: ARN } }])),
    "keks.prod.members: has more than 8 members",
  ],
  [
    "nobody wraps",
    `${MEMBERS} aws use`,
    "unwrap",
    "keks.prod.members: needs a member with use: both (to retire a KEK, take `wrap` out of its grants)",
  ],
  [
    "threshold over the members",
    `${KEK} threshold`,
    2,
    "keks.prod.threshold: is more than the members with use: both",
  ],
  ["threshold 0", `${KEK} threshold`, 0, "keks.prod.threshold: must be at least 1"],
  ["threshold of text", `${KEK} threshold`, "1", "keks.prod.threshold: must be a number"],
  [
    "minThreshold over threshold",
    `${KEK} minThreshold`,
    2,
    "keks.prod.minThreshold: is more than threshold: nothing sealed now would open",
  ],
  [
    "wrapQuorum over the members",
    `${KEK} wrapQuorum`,
    2,
    "keks.prod.wrapQuorum: is more than the members with use: both",
  ],
  ["epoch below 0", `${KEK} epoch`, -1, "keks.prod.epoch: must be at least 0"],
  ["epoch of a half", `${KEK} epoch`, 0.5, "keks.prod.epoch: must be a whole number"],
  [
    "duration without a unit",
    `${KEK} lease`,
    { maxAge: "10" },
    "keks.prod.lease.maxAge: write a duration as a whole number and one of s, m, h, d: 30s, 10m, 24h, 7d",
  ],
  [
    "no alternative",
    `${MEMBERS} none`,
    {},
    "keks.prod.members.none: give exactly one of awsKms, gcpKms, azureKeyVault, local",
  ],
  [
    "two alternatives",
    `${MEMBERS} aws local`,
    local("v1", "v1").local,
    "keks.prod.members.aws: give exactly one of awsKms, gcpKms, azureKeyVault, local",
  ],
  ["unknown use", `${MEMBERS} aws use`, "wrap", "keks.prod.members.aws.use: must be one of both, unwrap"],
  [
    "alias for a key",
    `${MEMBERS} aws awsKms keyArn`,
    "arn:aws:kms:eu-central-1:111122223333:alias/prod",
    "keks.prod.members.aws.awsKms.keyArn: must be the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID (an alias can be re-pointed, so it is refused)",
  ],
  [
    "plain endpoint",
    `${MEMBERS} aws awsKms endpoint`,
    "http://kms.example.com",
    "keks.prod.members.aws.awsKms.endpoint: must be https outside this machine",
  ],
  [
    "endpoint with a password",
    `${MEMBERS} aws awsKms endpoint`,
    "https://me:secret@kms.example.com",
    "keks.prod.members.aws.awsKms.endpoint: must be a URL without user name, query or fragment",
  ],
  [
    "primary that is not there",
    `${MEMBERS} dev`,
    local("v2", "v1"),
    "keks.prod.members.dev.local.primary: is not the version of one of the keys",
  ],
  [
    "one version twice",
    `${MEMBERS} dev`,
    local("v1", "v1", "v1"),
    "keks.prod.members.dev.local.keys.1.version: is the version of another key too",
  ],
  [
    "key of 31 bytes",
    `${MEMBERS} dev`,
    { local: { keys: [{ version: "v1", key: `${"A".repeat(42)}==` }], primary: "v1" } },
    "keks.prod.members.dev.local.keys.0.key: must be 32 bytes in base64",
  ],
  ["cluster without an id", `${CLUSTER} id`, undefined, "clusters.eu.id: is missing"],
  [
    "node without keys",
    `${NODE} jwks keys`,
    [],
    "clusters.eu.nodes.cp-1.jwks.keys: must have at least 1 entries",
  ],
  [
    "three keys for a node",
    `${NODE} jwks keys`,
    [KEYS.one, KEYS.two, KEYS.ed],
    "clusters.eu.nodes.cp-1.jwks.keys: must have at most 2 entries",
  ],
  [
    "private key for a node",
    `${NODE} jwks keys 0`,
    { ...KEYS.one, d: PRIVATE_PART },
    "clusters.eu.nodes.cp-1.jwks.keys.0.d: is not a field here",
  ],
  [
    "RSA key for a node",
    `${NODE} jwks keys 0`,
    { kty: "RSA" },
    "clusters.eu.nodes.cp-1.jwks.keys.0.kty: must be one of EC, OKP",
  ],
  [
    "point that is not on the curve",
    `${NODE} jwks keys 0 y`,
    KEYS.two.y,
    "clusters.eu.nodes.cp-1.jwks.keys.0: is not a P-256 key: x and y do not belong together",
  ],
  [
    "stray bits in a coordinate",
    `${NODE} jwks keys 0`,
    { ...KEYS.ed, x: KEYS.ed.x.replace(/o$/, "p") },
    "clusters.eu.nodes.cp-1.jwks.keys.0.x: must be 32 bytes in base64url without padding",
  ],
  [
    "algorithm of another key type",
    `${NODE} jwks keys 0 alg`,
    "EdDSA",
    "clusters.eu.nodes.cp-1.jwks.keys.0.alg: must be ES256",
  ],
  [
    "one key twice in a node",
    `${NODE} jwks keys 1`,
    { ...KEYS.one, kid: "another" },
    "clusters.eu.nodes.cp-1.jwks.keys.1: is the same key as above",
  ],
  [
    "one key in two nodes",
    `${CLUSTER} nodes cp-2`,
    { jwks: { keys: [{ ...KEYS.one, kid: "another" }] } },
    "clusters.eu.nodes.cp-2.jwks.keys.0: is the key of eu/cp-1 too",
  ],
  [
    "one key in two clusters",
    "clusters us",
    { id: "us", nodes: { "cp-1": { jwks: { keys: [KEYS.one] } } } },
    "clusters.us.nodes.cp-1.jwks.keys.0: is the key of eu/cp-1 too",
  ],
  ["one id for two clusters", "clusters us", { id: "eu" }, "clusters.us.id: is the id of eu too"],
  [
    "a day that is not",
    `${NODE} notAfter`,
    "2027-02-30",
    "clusters.eu.nodes.cp-1.notAfter: must be an RFC 3339 date or date and time, as 2027-11-01 or 2027-11-01T12:00:00Z",
  ],
  [
    "a time of no place",
    `${NODE} notAfter`,
    "2027-02-03T12:00:00",
    "clusters.eu.nodes.cp-1.notAfter: must be an RFC 3339 date or date and time, as 2027-11-01 or 2027-11-01T12:00:00Z",
  ],
  [
    "plain issuer",
    `${CLUSTER} identities`,
    [oidc({ issuer: "http://i.example.com" })],
    "clusters.eu.identities.0.oidc.issuer: must be an https:// URL",
  ],
  [
    "empty subject",
    `${CLUSTER} identities`,
    [oidc({ subject: "" })],
    "clusters.eu.identities.0.oidc.subject: must have at least 1 characters",
  ],
  [
    "secret key of an issuer",
    `${CLUSTER} identities`,
    [oidc({ jwks: { keys: [{ kty: "oct", k: PRIVATE_PART }] } })],
    "clusters.eu.identities.0.oidc.jwks.keys.0.kty: must be one of RSA, EC, OKP",
  ],
  [
    "private key of an issuer",
    `${CLUSTER} identities`,
    [oidc({ jwks: { keys: [{ ...KEYS.one, d: PRIVATE_PART }] } })],
    "clusters.eu.identities.0.oidc.jwks.keys.0: must be a public key: remove its private parts",
  ],
  [
    "host for an address",
    `${CLUSTER} identities`,
    [oidc({ privateAddresses: ["issuer.internal"] })],
    "clusters.eu.identities.0.oidc.privateAddresses.0: must be an IP address",
  ],
  [
    "one subject in two clusters",
    "clusters",
    { eu: { id: "eu", identities: [oidc()] }, us: { id: "us", identities: [oidc()] } },
    "clusters.us.identities.0.oidc: is the issuer and subject of eu too",
  ],
  [
    "one subject twice",
    `${CLUSTER} identities`,
    [oidc(), oidc()],
    "clusters.eu.identities.1.oidc: is the issuer and subject of eu too",
  ],
  ["grant of an unknown KEK", `${CLUSTER} allow 0 kek`, "prd", "clusters.eu.allow.0.kek: is not one of keks"],
  [
    "grant of a name every object has",
    `${CLUSTER} allow 0 kek`,
    "constructor",
    "clusters.eu.allow.0.kek: is not one of keks",
  ],
  [
    "grant of nothing",
    `${CLUSTER} allow 0 operations`,
    [],
    "clusters.eu.allow.0.operations: must have at least 1 entries",
  ],
  [
    "grant of an unknown operation",
    `${CLUSTER} allow 0 operations 1`,
    "delete",
    "clusters.eu.allow.0.operations.1: must be one of wrap, unwrap, status",
  ],
  [
    "one operation twice",
    `${CLUSTER} allow 0 operations 1`,
    "wrap",
    "clusters.eu.allow.0.operations: names an operation twice",
  ],
  [
    "one KEK granted twice",
    `${CLUSTER} allow 1`,
    { kek: "prod", operations: ["unwrap"] },
    "clusters.eu.allow.1.kek: is granted above: put all operations into one grant",
  ],
  [
    "restore of itself",
    `${CLUSTER} mayOpen`,
    [{ cluster: "eu", until }],
    "clusters.eu.mayOpen.0.cluster: is this cluster's own id",
  ],
  [
    "one restore twice",
    `${CLUSTER} mayOpen`,
    [
      { cluster: "old", until },
      { cluster: "old", until },
    ],
    "clusters.eu.mayOpen.1.cluster: is named above",
  ],
  [
    "restore without an end",
    `${CLUSTER} mayOpen`,
    [{ cluster: "old" }],
    "clusters.eu.mayOpen.0.until: must be an RFC 3339 date or date and time, as 2027-11-01 or 2027-11-01T12:00:00Z",
  ],
  [
    "revoked cluster that is not there",
    "revoked",
    ["ue"],
    "revoked.0: is not one of clusters (revoke by its name there, not by its id)",
  ],
  ["revoked node that is not there", "revoked", ["eu/cp-2"], "revoked.0: is not one of that cluster's nodes"],
  ["revoked pattern", "revoked", ["eu/*"], "revoked.0: write CLUSTER or CLUSTER/NODE"],
  ["revoked too deep", "revoked", ["eu/cp-1/x"], "revoked.0: write CLUSTER or CLUSTER/NODE"],
];

describe("a broken configuration", () => {
  it.each(BROKEN)("is refused for %s", (_name, path, value, ...told) => {
    expect(mistakesIn(spoil(path, value))).toEqual(told);
  });

  it("starts from one that is accepted", () => {
    expect(mistakesIn(small())).toEqual([]);
  });

  it("is refused for a threshold above 1, which is not built yet", () => {
    const config = small();
    config.keks["prod"] = {
      threshold: 2,
      members: { a: { awsKms: { keyArn: ARN } }, b: { awsKms: { keyArn: ARN } } },
    };
    expect(mistakesIn(config)).toEqual(["keks.prod.threshold: more than 1 is not built yet"]);
  });

  it("is refused for a wrapQuorum below the threshold", () => {
    const config = small();
    config.keks["prod"] = {
      threshold: 2,
      wrapQuorum: 1,
      members: { a: { awsKms: { keyArn: ARN } }, b: { awsKms: { keyArn: ARN } } },
    };
    expect(mistakesIn(config)).toContain(
      "keks.prod.wrapQuorum: is less than threshold: nothing sealed would open",
    );
  });

  it("tells every mistake at once, in the order of the file, with lines", () => {
    const text = `\
audience: https://kek.example.com
listen: 0.0.0.0:8443
keks:
  prod:
    threshold: 2
    members:
      aws: { awsKms: { keyArn: "${ARN}" } }
clusters:
  eu:
    id: eu
    allow: [{ kek: prd, operations: [wrap] }]
  us:
    id: us
    nodes:
      cp-1:
        jwks: { keys: [] }
  ap:
    id: eu
revoked:
  - nobody
rates: {}
`;
    expect(issuesOf(text).map(({ path, line }) => `${line} ${path}`)).toEqual([
      "2 listen",
      "5 keks.prod.threshold",
      "11 clusters.eu.allow.0.kek",
      "16 clusters.us.nodes.cp-1.jwks.keys",
      "18 clusters.ap.id",
      "20 revoked.0",
      "21 rates",
    ]);
  });

  it("tells what spans the fields of a KEK or cluster beside what is wrong in another field of it", () => {
    const config = small();
    const prod = Object(config.keks["prod"]);
    const eu = Object(config.clusters["eu"]);
    const broken = {
      ...config,
      keks: { prod: { ...prod, lease: { maxAge: 10 }, epoch: "1", threshold: 2, thresold: 1 } },
      clusters: { eu: { ...eu, identities: {}, mayOpen: [{ cluster: "eu", until }] } },
    };
    expect(mistakesIn(broken)).toEqual([
      "keks.prod.lease.maxAge: must be text (put quotes around it)",
      "keks.prod.epoch: must be a number",
      "keks.prod.thresold: is not a field here",
      "keks.prod.threshold: is more than the members with use: both",
      "clusters.eu.identities: must be a list",
      "clusters.eu.mayOpen.0.cluster: is this cluster's own id",
    ]);
  });

  it("blames nothing on a neighbour that is broken itself", () => {
    const config = {
      ...small(),
      listen: "0.0.0.0:1",
      tls: {},
      allowDevelopmentKeys: 1,
      keks: { prod: {}, dev: { members: { dev: local("v1", "v1") } } },
      revoked: ["eu/cp-1"],
    };
    expect(mistakesIn(config)).toEqual([
      "tls.certFile: is missing",
      "tls.keyFile: is missing",
      "allowDevelopmentKeys: must be true or false",
      "keks.prod.members: is missing",
    ]);
  });

  it.each(["", "[]", "text", "null", "# nothing"])("is refused for a document that is %j", (text) => {
    expect(issuesOf(text)).toMatchObject([{ path: "", message: "must be fields with values" }]);
  });
});

describe("the place where it runs", () => {
  const development = { ...small(), keks: { prod: { members: { dev: local("v1", "v1") } } } };
  const told =
    "keks.prod.members.dev.local: holds its key in this file: for development only, and then with allowDevelopmentKeys: true";

  it("refuses development keys", () => expect(mistakesIn(development)).toEqual([told]));
  it("accepts them where the file says so", () =>
    expect(mistakesIn({ ...development, allowDevelopmentKeys: true })).toEqual([]));
  it("accepts them under kek-broker dev", () =>
    expect(mistakesIn(development, { allowDevelopmentKeys: true })).toEqual([]));
  it("asks for no tls where nothing listens", () =>
    expect(mistakesIn({ ...small(), listen: "0.0.0.0:8443" }, { listens: false })).toEqual([]));
  it.each(["127.0.0.1:1", "127.8.8.8:1", "localhost:1", "[::1]:1", "[0:0:0:0:0:0:0:1]:1", "127.0.0.1:0"])(
    "needs no tls on loopback (%s)",
    (listen) => expect(mistakesIn({ ...small(), listen })).toEqual([]),
  );
  it.each([
    "[::]:1",
    "[1::1]:1",
    "[::11]:1",
    "10.0.0.1:1",
    "127.0.0.1.example.com:1",
    "localhost.example.com:1",
  ])("needs tls beyond it (%s)", (listen) => expect(mistakesIn({ ...small(), listen })).toHaveLength(1));
  it("needs no tls of its own where something in front speaks it", () =>
    expect(mistakesIn({ ...small(), listen: "0.0.0.0:8080", tlsInFront: true })).toEqual([]));
  it("takes tls from one side only", () => {
    const both = { ...small(), tls: { certFile: "c", keyFile: "k" }, tlsInFront: true };
    expect(mistakesIn(both)).toHaveLength(1);
    expect(mistakesIn({ ...small(), tlsInFront: false })).toHaveLength(1);
  });
  it("listens everywhere with tls", () =>
    expect(mistakesIn({ ...small(), listen: "[::]:443", tls: { certFile: "c", keyFile: "k" } })).toEqual([]));
});

describe("a good configuration", () => {
  it("is parsed with defaults applied, durations in seconds and instants in milliseconds", () => {
    const config = parse(EVERYDAY);
    expect(config.keks["prod-secrets"]).toEqual({
      threshold: 1,
      minThreshold: 1,
      allowRsaOnly: false,
      epoch: 0,
      lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3600 },
      members: {
        aws: { use: "both", awsKms: { keyArn: ARN } },
        us: { use: "unwrap", awsKms: expect.anything() },
      },
    });
    expect(config.clusters["prod-eu-1"]?.nodes["cp-1"]?.notAfter).toBe(Date.UTC(2027, 10, 1));
    expect(config.clusters["prod-eu-1"]?.mayOpen).toEqual([
      { cluster: "prod-eu-0", until: Date.UTC(2027, 0, 31, 12) },
    ]);
    expect(config).toMatchObject({
      listen: "127.0.0.1:8080",
      private: "127.0.0.1:8081",
      audit: { stdout: true },
      allowDevelopmentKeys: false,
      rateLimit: { principal: { perSecond: 50, burst: 500 }, cluster: { perSecond: 200, burst: 2000 } },
    });
  });

  it("keeps members in the order of the file, in which they are asked", () => {
    expect(Object.keys(parse(EVERYDAY).keks["prod-secrets"]?.members ?? {})).toEqual(["aws", "us"]);
  });

  it("has maps that know only what the file names", () => {
    const config = parse(EVERYDAY);
    for (const name of ["constructor", "toString", "__proto__", "hasOwnProperty"]) {
      expect(config.keks[name]).toBeUndefined();
      expect(config.clusters[name]).toBeUndefined();
      expect(config.clusters["hosted"]?.nodes[name]).toBeUndefined();
      expect(config.keks["prod-secrets"]?.members[name]).toBeUndefined();
    }
    const bare = parse("audience: https://kek.example.com");
    expect(bare.keks["constructor"]).toBeUndefined();
    expect(bare.clusters["constructor"]).toBeUndefined();
  });

  it("may call a cluster `constructor`, which is a name as any other", () => {
    const config = parseValue({ ...small(), clusters: { constructor: { id: "constructor" } } });
    expect(Object.entries(config.clusters)).toHaveLength(1);
    expect(config.clusters["constructor"]?.id).toBe("constructor");
  });

  it("has no `__proto__` anywhere", () => {
    const text = '{"audience":"https://kek.example.com","keks":{"__proto__":{"members":{}}}}';
    expect(issuesOf(text)).toEqual([{ path: "keks.__proto__", line: 1, message: "is not a name" }]);
    expect(issuesOf('{"__proto__": {"audience": "https://kek.example.com"}}')).toHaveLength(1);
  });
});
