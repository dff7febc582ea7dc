import type { BrokerConfig, Cluster, Kek } from "../config/schema.ts";
import type { Operation } from "../wire/messages.ts";
import type { Principal } from "./principal.ts";
import { BrokerProblem } from "./problem.ts";
import type { DenialReason } from "./reason.ts";

/** What a caller was allowed to use. */
export interface Grant {
  /** The KEK's name. */
  readonly name: string;
  readonly kek: Kek;
  /** The caller's. */
  readonly cluster: Cluster;
}

export type Decision =
  | { readonly allowed: true; readonly grant: Grant }
  | { readonly allowed: false; readonly reason: Extract<DenialReason, "unknown-kek" | "not-granted"> };

/** Whether a cluster (by map key) may do this with that KEK. Pure: the same arguments, the same decision. */
export function authorize(
  config: BrokerConfig,
  clusterKey: string,
  operation: Operation,
  name: string,
): Decision {
  const kek = own(config.keks, name);
  if (kek === undefined) return { allowed: false, reason: "unknown-kek" };
  const cluster = own(config.clusters, clusterKey);
  const granted = cluster?.allow.some((grant) => grant.kek === name && grant.operations.includes(operation));
  if (cluster === undefined || granted !== true) return { allowed: false, reason: "not-granted" };
  return { allowed: true, grant: { name, kek, cluster } };
}

/** The same words whether the KEK exists or not. */
export function accessDenied(reason: DenialReason): BrokerProblem {
  return new BrokerProblem(
    "AccessDenied",
    "This cluster may not do this with this KEK: check the name, and `allow` in the broker's configuration.",
    { reason },
  );
}

/**
 * The kill switch. It is asked of proven principals only, so that it answers to the genuine caller alone.
 * @throws BrokerProblem `Revoked`.
 */
export function requireNotRevoked({ kind, cluster, subject }: Principal, revoked: readonly string[]): void {
  if (!revoked.includes(cluster) && !(kind === "node" && revoked.includes(subject))) return;
  throw new BrokerProblem("Revoked", "This caller is revoked in the broker's configuration (`revoked`).", {
    reason: "revoked",
  });
}

/** Ids of the clusters whose envelopes this one may open now: its own, and those it restores. */
export function openableClusters({ id, mayOpen }: Cluster, now: number): string[] {
  return [id, ...mayOpen.filter(({ until }) => now < until).map(({ cluster }) => cluster)];
}

function own<T>(record: Readonly<Record<string, T>>, name: string): T | undefined {
  return Object.hasOwn(record, name) ? record[name] : undefined;
}
