import { formatPath, type Issue } from "../wire/issue.ts";
import { refusesRsaOnly, sealsRsaOnly } from "./rsa-only.ts";
import type { BrokerConfig, Cluster, Kek, Member } from "./schema.ts";

/**
 * What must not happen between two configurations, while some brokers still run the old one and envelopes of years
 * are stored. Each message says what to do instead.
 */
export function compareConfigs(old: BrokerConfig, next: BrokerConfig): Issue[] {
  return [
    ...Object.entries(old.keks).flatMap(([name, kek]) => {
      const path = ["keks", name];
      const after = next.keks[name];
      return after === undefined ? compareRemoved(path, name, old) : compareKeks(path, kek, after);
    }),
    ...Object.entries(old.clusters).flatMap(([name, cluster]) =>
      compareClusters(["clusters", name], cluster, next.clusters[name]),
    ),
  ];
}

type Path = readonly PropertyKey[];

function issue(path: Path, message: string): Issue {
  return { path: formatPath(path), message };
}

function compareRemoved(path: Path, name: string, { clusters }: BrokerConfig): Issue[] {
  const users = Object.entries(clusters).filter(([, { allow }]) => allow.some(({ kek }) => kek === name));
  if (users.length === 0) return [];
  const names = users.map(([cluster]) => cluster).join(", ");
  return [
    issue(
      path,
      `is removed while ${names} may use it: nothing it sealed can be opened again. Move the data to another KEK, take the grants away, then remove it`,
    ),
  ];
}

function compareKeks(path: Path, old: Kek, next: Kek): Issue[] {
  return [
    ...Object.entries(old.members).flatMap(([name, member]) => {
      const here = [...path, "members", name];
      const after = next.members[name];
      return after === undefined ? compareRemovedMember(here, member) : compareMembers(here, member, after);
    }),
    ...Object.entries(next.members).flatMap(([name, { use }]) =>
      use === "both" && old.members[name] === undefined
        ? [
            issue(
              [...path, "members", name, "use"],
              "is new and wraps at once: brokers that run the old configuration could not open that. Add it with use: unwrap everywhere first",
            ),
          ]
        : [],
    ),
    ...compareRsaOnly([...path, "allowRsaOnly"], old, next),
    ...compareEpochs([...path, "epoch"], old, next),
  ];
}

/** What brokers seal on one side, those on the other must open. */
function compareRsaOnly(path: Path, old: Kek, next: Kek): Issue[] {
  if (sealsRsaOnly(next) && refusesRsaOnly(old)) {
    const message =
      "is not true in the old configuration, and its brokers would refuse what RSA members alone seal from now on: set it to true everywhere first";
    return [issue(path, message)];
  }
  if (sealsRsaOnly(old) && refusesRsaOnly(next)) {
    const message =
      "must be true while brokers still run the old configuration, whose RSA members seal alone: set it to false, if at all, once a symmetric member wraps everywhere and all data is written anew";
    return [issue(path, message)];
  }
  return [];
}

function compareRemovedMember(path: Path, { use }: Member): Issue[] {
  if (use === "unwrap") return [];
  return [
    issue(
      path,
      "is removed while it wraps: set use: unwrap first, and remove it when nothing sealed by it is left, backups included",
    ),
  ];
}

function compareMembers(path: Path, old: Member, next: Member): Issue[] {
  const keys = keysOf(next);
  const lost = [...keysOf(old)].filter(([name, key]) => keys.get(name) !== key);
  if (lost.length === 0) return [];
  return [
    issue(
      path,
      "stands for another key now: a member's name is forever. Give the new key a new name, and keep this one with use: unwrap",
    ),
  ];
}

/**
 * The key material a member's name stands for, and how it wraps; versions may be added to it, not changed or taken
 * away. How the key is reached may change.
 */
function keysOf({ awsKms, gcpKms, azureKeyVault, local }: Member): ReadonlyMap<string, string> {
  if (awsKms !== undefined) return new Map([["awsKms", awsKms.keyArn]]);
  if (gcpKms !== undefined) return new Map([["gcpKms", gcpKms.cryptoKey]]);
  if (azureKeyVault !== undefined) {
    return new Map([["azureKeyVault", `${azureKeyVault.algorithm} ${azureKeyVault.keyUrl}`]]);
  }
  return new Map(local?.keys.map(({ version, key }) => [`local ${version}`, key]));
}

function compareEpochs(path: Path, old: Kek, next: Kek): Issue[] {
  if (next.epoch < old.epoch) {
    return [
      issue(
        path,
        `is lowered from ${old.epoch}: an epoch only rises, or shims would meet a key id they have left`,
      ),
    ];
  }
  if (next.epoch > old.epoch) return [];
  const changes = [
    ...(wrappingOf(old) === wrappingOf(next) ? [] : ["the members that wrap"]),
    ...(old.threshold === next.threshold ? [] : ["the threshold"]),
  ];
  if (changes.length === 0) return [];
  return [issue(path, `must be raised to ${old.epoch + 1} or more: ${changes.join(" and ")} changed`)];
}

function wrappingOf({ members }: Kek): string {
  return Object.entries(members)
    .flatMap(([name, { use }]) => (use === "both" ? [name] : []))
    .sort()
    .join(" ");
}

function compareClusters(path: Path, old: Cluster, next: Cluster | undefined): Issue[] {
  if (next === undefined || next.id === old.id) return [];
  return [
    issue(
      [...path, "id"],
      `is no longer ${old.id}: the cluster could not open what it has. An id stays; a new cluster gets a new name`,
    ),
  ];
}
