import * as z from "zod";

import { Name } from "../wire/name.ts";
import { keyMaterial, NodeJwk } from "./node-jwk.ts";
import { HttpsUrl, Instant, named, spanning } from "./values.ts";

const Node = z.strictObject({
  jwks: z
    .strictObject({ keys: z.array(NodeJwk).min(1).max(2).describe("One key, or two while it is replaced.") })
    .describe("The node's public keys, as `kekctl node new` prints them."),
  notAfter: Instant.optional().describe("The node is refused from then on."),
});

/** Loose: issuers add fields, and what signs is checked when used. */
const IssuerJwk = z
  .looseObject({ kty: z.enum(["RSA", "EC", "OKP"]) })
  .refine((key) => !("d" in key), "must be a public key: remove its private parts")
  .meta({ title: "public JWK" });

const OidcIdentity = z.strictObject({
  oidc: z
    .strictObject({
      issuer: HttpsUrl.describe("The token's `iss`, compared exactly."),
      subject: z.string().min(1).max(255).describe("The token's `sub`, compared exactly."),
      jwks: z
        .strictObject({ keys: z.array(IssuerJwk).min(1).max(32).describe("Public keys (RFC 7517).") })
        .optional()
        .describe("The issuer's keys, used instead of what it publishes: nothing is fetched."),
      privateAddresses: z
        .array(z.union([z.ipv4(), z.ipv6()], "must be an IP address"))
        .max(16)
        .default([])
        .describe("Private addresses that the issuer's host may have. On Node only."),
    })
    .describe("An OpenID Connect issuer and one subject of it."),
});

const OPERATIONS = ["wrap", "unwrap", "status"] as const;

const Grant = z.strictObject({
  kek: Name.describe("A name under `keks`."),
  operations: z
    .array(z.enum(OPERATIONS))
    .min(1)
    .max(OPERATIONS.length)
    .refine((operations) => new Set(operations).size === operations.length, "names an operation twice")
    .describe("What may be done with it. A shim needs all three; `unwrap` and `status` retire a KEK."),
});

const MayOpen = z.strictObject({
  cluster: Name.describe("The `id` bound into the envelopes; the cluster itself may be gone."),
  until: Instant.describe("The right ends here."),
});

const ClusterShape = z.strictObject({
  id: Name.describe("Bound into envelopes. Stays when the cluster is renamed, which is a new key above it."),
  nodes: named(Node).prefault({}).describe("Nodes of the control plane that sign with a key of their own."),
  identities: z
    .array(OidcIdentity)
    .max(16)
    .default([])
    .describe(
      "Token issuers that vouch for this cluster: a ServiceAccount in a hosted control plane, SPIFFE.",
    ),
  allow: z.array(Grant).max(64).default([]).describe("What the cluster may do."),
  mayOpen: z
    .array(MayOpen)
    .max(16)
    .default([])
    .describe("Other clusters' envelopes that it may open too: a restore."),
});
export type Cluster = z.infer<typeof ClusterShape>;

const SPANNED = ["id", "nodes", "allow", "mayOpen"] as const;

export const Cluster = ClusterShape.superRefine(
  (cluster, context) => {
    for (const [path, message] of mistakesIn(cluster)) context.addIssue({ code: "custom", path, message });
  },
  spanning(...SPANNED),
);

function* mistakesIn({
  id,
  nodes,
  allow,
  mayOpen,
}: Pick<Cluster, (typeof SPANNED)[number]>): Generator<[PropertyKey[], string]> {
  for (const index of repeats(allow.map(({ kek }) => kek))) {
    yield [["allow", index, "kek"], "is granted above: put all operations into one grant"];
  }
  for (const index of repeats(mayOpen.map(({ cluster }) => cluster))) {
    yield [["mayOpen", index, "cluster"], "is named above"];
  }
  for (const [index, { cluster }] of mayOpen.entries()) {
    if (cluster === id) yield [["mayOpen", index, "cluster"], "is this cluster's own id"];
  }
  for (const [name, { jwks }] of Object.entries(nodes)) {
    for (const index of repeats(jwks.keys.map(keyMaterial))) {
      yield [["nodes", name, "jwks", "keys", index], "is the same key as above"];
    }
  }
}

/** Where a value stands that has stood before. */
function repeats(values: readonly string[]): number[] {
  return values.flatMap((value, index) => (values.indexOf(value) < index ? [index] : []));
}
