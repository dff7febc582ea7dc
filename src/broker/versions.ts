import { type KeyProvider, toldOf } from "../kms/key-provider.ts";
import { orAbort, startDeadline } from "../wire/deadline.ts";
import type { MEMBER_STATES } from "../wire/messages.ts";
import type { Log } from "./log.ts";
import { timeCall } from "./member.ts";
import type { Metrics } from "./metrics.ts";

/** How long a reading is believed: below the shim's 40 s between polls, so that two polls are two readings. */
const REMEMBER_MS = 30_000;
/**
 * How long at first, and at most, where a member's version is not known: without it there is no key id, and a broker
 * that has just started may have spent its first reading's time on loading SDKs.
 */
const REMEMBER_NOTHING_MS = { first: 1_000, most: 16_000 };
/** The most time for one reading of all members; providers end sooner by themselves. */
const READING_MS = 1000;

type MemberState = (typeof MEMBER_STATES)[number];

/** What is known of a member. */
export interface MemberReading {
  readonly state: MemberState;
  /** As last read; or, while the member cannot be read, as last used. */
  readonly version: string | undefined;
}

/** Versions of members' keys, as far as this instance has seen them. Survives reloads: a member's name is forever. */
export interface Versions {
  /**
   * What is known now, read anew if the last reading is too old. Callers at the same time share one reading; at the
   * signal's end the answer is what is known by then.
   */
  read(
    kek: string,
    providers: ReadonlyMap<string, KeyProvider>,
    signal: AbortSignal,
    requestId: string,
  ): Promise<ReadonlyMap<string, MemberReading>>;
  /** What is known, without asking anybody. */
  known(kek: string): ReadonlyMap<string, MemberReading>;
  /** A wrap used this version. It counts only while the member cannot be read: clouds seal with old versions for hours. */
  used(kek: string, member: string, version: string): void;
  /**
   * Versions by member as wraps last used them: what a member counts with that is missing from a wrap. What was read
   * may be newer than anything it has sealed.
   */
  lastUsed(kek: string): ReadonlyMap<string, string>;
}

interface Entry {
  readonly members: Map<string, MemberReading>;
  readonly used: Map<string, string>;
  /** When the last reading began, in milliseconds since the epoch. */
  startedAt: number;
  /** How long it is believed. */
  rememberMs: number;
  reading?: Promise<void>;
}

export interface VersionsDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly metrics: Metrics;
  readonly log: Log;
}

export function createVersions(deps: VersionsDeps): Versions {
  const keks = new Map<string, Entry>();
  const entryOf = (kek: string): Entry => {
    const entry = keks.get(kek) ?? {
      members: new Map(),
      used: new Map(),
      startedAt: Number.NEGATIVE_INFINITY,
      rememberMs: REMEMBER_MS,
    };
    keks.set(kek, entry);
    return entry;
  };

  return {
    known: (kek) => entryOf(kek).members,
    lastUsed: (kek) => entryOf(kek).used,

    used: (kek, member, version) => {
      const { members, used } = entryOf(kek);
      used.set(member, version);
      const last = members.get(member);
      if (last?.state === "available") return;
      members.set(member, { state: last?.state ?? "unknown", version });
    },

    read: async (kek, providers, signal, requestId) => {
      const entry = entryOf(kek);
      const now = deps.now();
      // A clock set back: what seems to come from the future is taken for new, else it would stay so for that long.
      entry.startedAt = Math.min(entry.startedAt, now);
      const age = now - entry.startedAt;
      // One that outlives its own limit was dropped with the request that began it: Workers do that.
      if (age > 2 * READING_MS) delete entry.reading;
      const isNew = [...providers.keys()].some((member) => !entry.members.has(member));
      if (entry.reading === undefined && (isNew || age >= entry.rememberMs)) {
        entry.startedAt = now;
        entry.reading = readAll(deps, kek, providers, entry, requestId);
      }
      if (entry.reading !== undefined) await orAbort(entry.reading, signal).catch(() => {});
      return entry.members;
    },
  };
}

/** Never rejects. */
async function readAll(
  deps: VersionsDeps,
  kek: string,
  providers: ReadonlyMap<string, KeyProvider>,
  entry: Entry,
  requestId: string,
): Promise<void> {
  const deadline = startDeadline(READING_MS);
  const readOne = async ([member, provider]: readonly [string, KeyProvider]): Promise<void> => {
    const finish = timeCall(deps.metrics, { kek, member, call: "version" });
    try {
      const call = { signal: deadline.signal, requestId };
      const version = await orAbort(provider.currentVersion(call), deadline.signal);
      finish("ok");
      entry.members.set(member, { state: "available", version });
    } catch (error) {
      const told = toldOf(error);
      const failed =
        told.result === "Internal" && deadline.signal.aborted ? { result: "Timeout" as const } : told;
      finish(failed.result);
      deps.log({ level: "warn", event: "member-failed", kek, member, ...failed, requestId });
      const state = failed.result === "KeyUnavailable" ? "disabled" : "unavailable";
      entry.members.set(member, { state, version: entry.members.get(member)?.version });
    }
  };
  await Promise.all([...providers].map(readOne));
  deadline.clear();
  entry.rememberMs = rememberFor(entry, providers);
  delete entry.reading;
}

function rememberFor({ members, rememberMs }: Entry, providers: ReadonlyMap<string, KeyProvider>): number {
  if ([...providers.keys()].every((member) => members.get(member)?.version !== undefined)) return REMEMBER_MS;
  const { first, most } = REMEMBER_NOTHING_MS;
  return rememberMs === REMEMBER_MS ? first : Math.min(2 * rememberMs, most);
}
