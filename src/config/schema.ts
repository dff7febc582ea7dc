import * as z from "zod";

import { Duration } from "../wire/duration.ts";
import { Name } from "../wire/name.ts";
import { decodeBase64 } from "../wire/base64.ts";

/**
 * The broker's configuration, as a person writes it (input) and as the broker uses it (output, defaults applied).
 * Shapes and single values are checked here; what spans fields is checked in cross-check.ts.
 */

const Address = z
  .string()
  .regex(
    /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):[0-9]{1,5}$/,
    "write an address as HOST:PORT, an IPv6 host in brackets",
  )
  .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, "the port is at most 65535");

const HttpsUrl = z.url({ protocol: /^https$/, error: "must be an https:// URL" });

/** RFC 3339; a bare date is its 00:00Z. */
const Instant = z
  .union(
    [z.iso.date(), z.iso.datetime({ offset: true })],
    "must be an RFC 3339 date or date and time: 2027-11-01, 2027-11-01T12:00:00Z",
  )
  .transform((text) => Date.parse(text));

const coordinate = z.string().regex(/^[A-Za-z0-9_-]{43}$/, "must be 32 bytes, base64url");

/** A node's public key: EC P-256 for ES256, Ed25519 for EdDSA. Strict, so that a private key (`d`) is refused. */
const NodeJwk = z.discriminatedUnion("kty", [
  z.strictObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    x: coordinate,
    y: coordinate,
    kid: z.string().max(128).optional(),
    alg: z.literal("ES256").optional(),
    use: z.literal("sig").optional(),
  }),
  z.strictObject({
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: coordinate,
    kid: z.string().max(128).optional(),
    alg: z.enum(["EdDSA", "Ed25519"]).optional(),
    use: z.literal("sig").optional(),
  }),
]);
export type NodeJwk = z.infer<typeof NodeJwk>;

/** An issuer's public keys, given here instead of fetched. Loose: issuers add fields; what signs is checked when used. */
const IssuerJwks = z.strictObject({
  keys: z
    .array(
      z
        .looseObject({ kty: z.enum(["RSA", "EC", "OKP"]) })
        .refine((key) => !("d" in key || "k" in key), "must be a public key: remove the private parts"),
    )
    .min(1)
    .max(32),
});

const AwsKms = z.strictObject({
  /** The key's ARN, not an alias: a member's name stands for one key. */
  keyArn: z
    .string()
    .max(256)
    .regex(
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+$/,
      "must be the ARN of a key: arn:aws:kms:REGION:ACCOUNT:key/ID (an alias can be re-pointed, so it is refused)",
    ),
  /** Another endpoint than the region's own: a VPC endpoint, or an emulator. */
  endpoint: z.url({ protocol: /^https?$/ }).optional(),
});

const LocalKey = z.strictObject({
  version: Name,
  /** 32 random bytes, base64. */
  key: z.string().refine((text) => decodeBase64(text)?.length === 32, "must be 32 bytes in base64"),
});

/** A key held in this very file: development and tests only. */
const Local = z.strictObject({ keys: z.array(LocalKey).min(1).max(16), primary: Name });

/** `both` wraps and unwraps; `unwrap` only opens what is already sealed. */
const use = z.enum(["both", "unwrap"]).default("both");

/** Exactly one of the alternatives, which cross-check.ts holds with the field's path. */
const Member = z.strictObject({
  awsKms: AwsKms.optional(),
  local: Local.optional(),
  use,
});
export type Member = z.infer<typeof Member>;

const Lease = z.strictObject({
  maxAge: Duration.prefault("10m"),
  staleIfError: Duration.prefault("24h"),
  graceDenied: Duration.prefault("1h"),
});

const Kek = z.strictObject({
  /** Members that must agree to unwrap. Above 1 is in the envelope's format and not built yet. */
  threshold: z.int().min(1).max(8).default(1),
  /** Members that must have wrapped before a wrap counts. */
  wrapQuorum: z.int().min(1).max(8).optional(),
  /** Envelopes below this threshold are refused. */
  minThreshold: z.int().min(1).max(8).default(1),
  /** Open envelopes that hold RSA wraps alone, while migrating. */
  allowRsaOnly: z.boolean().default(false),
  members: z
    .record(Name, Member)
    .refine((members) => Object.keys(members).length >= 1, "a KEK needs at least one member")
    .refine((members) => Object.keys(members).length <= 8, "a KEK has at most 8 members"),
  lease: Lease.prefault({}),
  /** Raised with every change of members or threshold, and for a return to an old version. */
  epoch: z.int().min(0).max(1_000_000).default(0),
});
export type Kek = z.infer<typeof Kek>;

const Node = z.strictObject({
  jwks: z.strictObject({ keys: z.array(NodeJwk).min(1).max(2) }),
  /** The node's key is refused from then on. */
  notAfter: Instant.optional(),
});

const OidcIdentity = z.strictObject({
  oidc: z.strictObject({
    issuer: HttpsUrl,
    subject: z.string().min(1).max(255),
    /** Used instead of what the issuer publishes: no fetch at all. */
    jwks: IssuerJwks.optional(),
    /** Private addresses the issuer's host may resolve to; exact, Node only. */
    privateAddresses: z
      .array(z.union([z.ipv4(), z.ipv6()]))
      .max(16)
      .default([]),
  }),
});

const Grant = z.strictObject({
  kek: Name,
  operations: z
    .array(z.enum(["wrap", "unwrap", "status"]))
    .min(1)
    .max(3),
});

const Cluster = z.strictObject({
  /** Bound into envelopes; survives a rename of the key above it. */
  id: Name,
  nodes: z.record(Name, Node).default({}),
  identities: z.array(OidcIdentity).max(16).default([]),
  allow: z.array(Grant).max(64).default([]),
  /** Envelopes of these cluster ids may be opened too: a restore. */
  mayOpen: z
    .array(z.strictObject({ cluster: Name, until: Instant }))
    .max(16)
    .default([]),
});
export type Cluster = z.infer<typeof Cluster>;

const Rate = z.strictObject({
  perSecond: z.number().positive().max(100_000),
  burst: z.int().min(1).max(100_000),
});

export const BrokerConfig = z.strictObject({
  /** What callers name as `aud`: this service's own https URL, the same for all its instances. */
  audience: z.url({ protocol: /^https?$/ }).max(255),
  listen: Address.default("127.0.0.1:8080"),
  /** Where /readyz and /metrics answer; not for callers. */
  private: Address.default("127.0.0.1:8081"),
  tls: z.strictObject({ certFile: z.string().min(1), keyFile: z.string().min(1) }).optional(),
  /** Where intents and outcomes are recorded: one JSON line each. */
  audit: z
    .union(
      [z.strictObject({ file: z.string().min(1) }), z.strictObject({ stdout: z.literal(true) })],
      "must be {file: PATH} or {stdout: true}",
    )
    .default({ stdout: true }),
  rateLimit: z
    .strictObject({
      principal: Rate.default({ perSecond: 50, burst: 500 }),
      cluster: Rate.default({ perSecond: 200, burst: 2000 }),
    })
    .prefault({}),
  allowDevelopmentKeys: z.boolean().default(false),
  keks: z.record(Name, Kek).default({}),
  clusters: z.record(Name, Cluster).default({}),
  /** `cluster` or `cluster/node`: refused at once, everywhere this configuration runs. */
  revoked: z
    .array(z.string().regex(/^[a-z0-9-]{1,40}(\/[a-z0-9-]{1,40})?$/, "write CLUSTER or CLUSTER/NODE"))
    .max(1024)
    .default([]),
});
/** As the broker uses it: defaults applied, durations in seconds, instants in milliseconds since the epoch. */
export type BrokerConfig = z.infer<typeof BrokerConfig>;
/** As a person writes it. */
export type BrokerConfigInput = z.input<typeof BrokerConfig>;
