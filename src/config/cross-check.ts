import type { ShapeIssue } from "../wire/issue.ts";
import { checkClouds } from "./check-clouds.ts";
import { keyMaterial } from "./node-jwk.ts";
import type { BrokerConfig } from "./schema.ts";
import { hostOf, isLoopbackHost, portOf } from "./values.ts";

/** What the place where the broker runs adds to its configuration. */
export interface CheckOptions {
  /** Accept development keys whatever the file says: `kek-broker dev`. */
  readonly allowDevelopmentKeys: boolean;
  /** Whether `listen`, `private`, `tls` and an `audit` file can be used: on Node, not on Workers or Lambda. */
  readonly listens: boolean;
  /** There on Workers, where no cloud's SDK finds credentials, but for AWS's as secrets of the Worker. */
  readonly worker?: { readonly awsKeys: boolean } | undefined;
}

/**
 * Names that exist, even where what they stand for is broken and told elsewhere; `undefined` where nobody can say,
 * because the whole map is.
 */
export interface KnownNames {
  readonly keks: ReadonlySet<string> | undefined;
  /** Whether there is an identity, right or wrong. */
  readonly identity: boolean;
  /** Node names by cluster. */
  readonly clusters: ReadonlyMap<string, ReadonlySet<string> | undefined> | undefined;
}

/** What spans KEKs, clusters and the place it runs; a single KEK or cluster is checked by its own schema. */
export function crossCheck(config: BrokerConfig, known: KnownNames, options: CheckOptions): ShapeIssue[] {
  return [
    ...(options.listens ? checkAddresses(config) : checkAudit(config)),
    ...checkClouds(config, known, options),
    ...checkReferences(config, known),
    ...checkIdentities(config),
  ];
}

function checkAddresses({ listen, private: internal, tls, tlsInFront }: BrokerConfig): ShapeIssue[] {
  const issues: ShapeIssue[] = [];
  if (tls !== undefined && tlsInFront !== undefined) {
    issues.push({ path: ["tlsInFront"], message: "goes without tls: one of the two speaks it" });
  }
  if (tls === undefined && tlsInFront === undefined && !isLoopbackHost(hostOf(listen))) {
    const message =
      "is plain HTTP beyond this machine: give tls, or tlsInFront: true where the platform speaks it (Cloud Run), or listen on loopback behind a proxy";
    issues.push({ path: ["listen"], message });
  }
  if (
    portOf(listen) !== 0 &&
    portOf(listen) === portOf(internal) &&
    overlap(hostOf(listen), hostOf(internal))
  ) {
    issues.push({ path: ["private"], message: "is the same address as listen" });
  }
  return issues;
}

function checkAudit({ audit }: BrokerConfig): ShapeIssue[] {
  if (!("file" in audit)) return [];
  return [
    { path: ["audit"], message: "no file lasts on this runtime: leave audit out, and keep what is printed" },
  ];
}

function overlap(one: string, other: string): boolean {
  const isAny = (host: string): boolean => host === "0.0.0.0" || host === "[::]";
  return one === other || isAny(one) || isAny(other);
}

function checkReferences({ clusters, revoked }: BrokerConfig, known: KnownNames): ShapeIssue[] {
  const grants = Object.entries(clusters).flatMap(([name, { allow }]) =>
    allow.map(({ kek }, index) => ({ kek, path: ["clusters", name, "allow", index, "kek"] })),
  );
  const unknown = grants.filter(({ kek }) => known.keks?.has(kek) === false);
  return [
    ...unknown.map(({ path }) => ({ path, message: "is not one of keks" })),
    ...checkRevoked(revoked, known.clusters),
  ];
}

/** A name that nobody has would be a kill switch that kills nothing. */
function checkRevoked(revoked: readonly string[], clusters: KnownNames["clusters"]): ShapeIssue[] {
  if (clusters === undefined) return [];
  return revoked.flatMap((subject, index) => {
    const [cluster = "", node] = subject.split("/");
    const path = ["revoked", index];
    if (!clusters.has(cluster)) {
      return [{ path, message: "is not one of clusters (revoke by its name there, not by its id)" }];
    }
    if (node === undefined || clusters.get(cluster)?.has(node) !== false) return [];
    return [{ path, message: "is not one of that cluster's nodes" }];
  });
}

interface Claim {
  readonly path: readonly PropertyKey[];
  /** Equal for two claims that must not both be. */
  readonly claim: string;
  readonly what: "id" | "key" | "issuer and subject";
  /** A cluster, or `cluster/node`. */
  readonly owner: string;
}

/** One principal is one cluster, and one id is one cluster. */
function checkIdentities(config: BrokerConfig): ShapeIssue[] {
  const first = new Map<string, Claim>();
  return claimsOf(config).flatMap((claim) => {
    const { path, what, owner } = claim;
    const other = first.get(claim.claim);
    first.set(claim.claim, other ?? claim);
    // One key twice in one node is told by the cluster's own schema.
    if (other === undefined || (what === "key" && other.owner === owner)) return [];
    return [{ path, message: `is the ${what} of ${other.owner} too` }];
  });
}

function claimsOf({ clusters }: BrokerConfig): Claim[] {
  return Object.entries(clusters).flatMap(([name, { id, nodes, identities }]): Claim[] => {
    const path = ["clusters", name];
    const keys = Object.entries(nodes).flatMap(([node, { jwks }]) =>
      jwks.keys.map((jwk, index): Claim => ({
        path: [...path, "nodes", node, "jwks", "keys", index],
        claim: JSON.stringify(["key", keyMaterial(jwk)]),
        what: "key",
        owner: `${name}/${node}`,
      })),
    );
    const subjects = identities.map(({ oidc }, index): Claim => ({
      path: [...path, "identities", index, "oidc"],
      claim: JSON.stringify(["subject", oidc.issuer, oidc.subject]),
      what: "issuer and subject",
      owner: name,
    }));
    return [
      { path: [...path, "id"], claim: JSON.stringify(["id", id]), what: "id", owner: name },
      ...keys,
      ...subjects,
    ];
  });
}
