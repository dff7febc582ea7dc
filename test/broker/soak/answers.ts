import { expect } from "vitest";

import { readHead } from "../../../src/envelope/open.ts";
import { KekStatus, WrapResponse } from "../../../src/wire/messages.ts";
import type { BrokerInstance, Clouds } from "./broker-instance.ts";
import { canSeal, idOf, MEMBERS, type MemberName } from "./kek.ts";

export interface Answered {
  readonly broker: BrokerInstance;
  readonly clouds: Clouds;
  readonly path: string;
  readonly status: number;
  readonly text: string;
}

/** Holds every answer of a broker against the truth, whoever asked. */
export async function requireRightAnswer(answered: Answered): Promise<void> {
  if (answered.path.endsWith("/wrap")) return requireRightWrap(answered);
  if (answered.path.endsWith("/unwrap")) return;
  return requireRightStatus(answered);
}

async function requireRightWrap({ broker, clouds, status, text }: Answered): Promise<void> {
  const { setup } = broker;
  const able = broker.able(setup.wrapping, "wrap", "unwrap");
  expect([status === 200, status, text.slice(0, 300)][0], text).toBe(canSeal(setup, able));
  for (const name of setup.wrapping) {
    expect([name, broker.lastOutcome.get(name) === "ok"]).toEqual([name, able.includes(name)]);
  }
  if (status !== 200) return;
  const { ciphertext, degraded, keyId } = WrapResponse.parse(JSON.parse(text));
  const missing = MEMBERS.filter((name) => setup.wrapping.includes(name) && !able.includes(name));
  expect(degraded).toEqual(missing.length === 0 ? undefined : missing);
  const head = readHead(new Uint8Array(Buffer.from(ciphertext, "base64")));
  expect(head.keyId).toBe(keyId);
  expect(head.members.map(({ name }) => name)).toEqual(MEMBERS.filter((name) => able.includes(name)));
  for (const name of able) broker.met.add(name);
  // One it has not met may be read for this answer, unless that was tried within the last 30 s.
  if (keyId !== null) for (const name of broker.able(setup.wrapping, "version")) broker.met.add(name);
  requireKnown(broker, keyId);
  if (missing.length > 0) return;
  const used = new Map(
    head.members.map(({ name, wrap }) => [name, clouds[name as MemberName].versionOf(wrap) ?? "none"]),
  );
  expect(keyId).toBe(await idOf(setup, (name) => used.get(name) ?? "none"));
}

async function requireRightStatus({ broker, clouds, status, text }: Answered): Promise<void> {
  expect(status, text).toBe(200);
  const told = KekStatus.parse(JSON.parse(text));
  const { setup } = broker;
  expect(told.members.map(({ name, use }) => [name, use])).toEqual(
    MEMBERS.map((name) => [name, setup.wrapping.includes(name) ? "both" : "unwrap"]),
  );
  for (const { name, state } of told.members) if (state === "available") broker.met.add(name as MemberName);
  requireKnown(broker, told.keyId);
  if (!broker.readsAreFresh) return;
  for (const { name, state } of told.members) {
    const fault = broker.view(name as MemberName).faults.get("version");
    const expected =
      fault === undefined ? "available" : fault.code === "KeyUnavailable" ? "disabled" : "unavailable";
    expect([name, state]).toEqual([name, expected]);
  }
  const readable = broker.able(setup.wrapping, "version");
  const all = readable.length === setup.wrapping.length;
  expect(told.state).toBe(all ? "ACTIVE" : readable.length > 0 ? "DEGRADED" : "UNAVAILABLE");
  if (!all) return;
  expect(told.keyId).not.toBeNull();
  const lags = setup.wrapping.map((name) => broker.view(name).reading);
  if (lags.some(({ kind }) => kind === "mixed")) return;
  const read = (name: MemberName): string => {
    const { reading } = broker.view(name);
    return reading.kind === "behind" ? reading.at : clouds[name].primary;
  };
  expect(told.keyId).toBe(await idOf(setup, read));
}

/** Whoever has met all members knows an id, whatever is away now; null is for who has not. */
function requireKnown({ met, setup }: BrokerInstance, keyId: string | null): void {
  expect(keyId !== null).toBe(setup.wrapping.every((name) => met.has(name)));
}

/** Whether this broker, now, must be able to open what these members wrapped. */
export function mustOpen(broker: BrokerInstance, members: readonly MemberName[]): boolean {
  return broker.able(members, "unwrap").length > 0;
}

export function mustSeal(broker: BrokerInstance): boolean {
  return canSeal(broker.setup, broker.able(broker.setup.wrapping, "wrap", "unwrap"));
}
