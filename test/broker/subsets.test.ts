import { describe, expect, test } from "vitest";

import { keyId } from "../../src/broker/key-id.ts";
import { WrapResponse, KekStatus } from "../../src/wire/messages.ts";
import { call, KEK, PLAINTEXT, problemCode, STATUS, unwrap, wrap } from "./fixture.ts";
import { away, brokerOf, inOrder, isSymmetric, membersOf, subsetsOf } from "./multi-member.ts";
import type { Member, TestBroker } from "./multi-member.ts";
import type { CloudKind } from "./fake-cloud.ts";
import { LYING_VERSION, TROUBLES, type Trouble } from "./troubles.ts";

const KEKS: readonly (readonly CloudKind[])[] = [
  ["aws"],
  ["gcp"],
  ["az"],
  ["aws", "gcp"],
  ["az", "gcp"],
  ["aws", "az"],
  ["az", "aws", "gcp"],
];

interface Case {
  readonly kinds: readonly CloudKind[];
  readonly trouble: Trouble;
  readonly troubled: readonly CloudKind[];
}

/** Two of three by default, else one; and a symmetric one wherever the KEK has one that wraps. */
function suffices(kinds: readonly CloudKind[], proven: readonly CloudKind[]): boolean {
  return (
    proven.length >= (kinds.length === 3 ? 2 : 1) && (proven.some(isSymmetric) || !kinds.some(isSymmetric))
  );
}

const idOf = (kinds: readonly CloudKind[], lying: readonly CloudKind[] = []): Promise<string> =>
  keyId(KEK, 0, new Map(kinds.map((kind) => [kind, lying.includes(kind) ? LYING_VERSION : `${kind}-1`])));

function troubledBroker(members: readonly Member[], { trouble, troubled }: Case): TestBroker {
  return brokerOf(members, {
    disguise: (member, view) =>
      troubled.includes(member.name) ? trouble.disguise(member, view) : view.provider,
  });
}

async function requireStatus(broker: TestBroker, { kinds, trouble, troubled }: Case): Promise<void> {
  const { state, members, keyId } = KekStatus.parse((await call(broker.harness, "GET", STATUS)).json);
  const unreadable = trouble.readable ? [] : troubled;
  const unwell = trouble.result === "KeyUnavailable" ? "disabled" : "unavailable";
  expect(members).toEqual(
    kinds.map((name) => ({ name, use: "both", state: unreadable.includes(name) ? unwell : "available" })),
  );
  const readable = kinds.length - unreadable.length;
  expect(state).toBe(unreadable.length === 0 ? "ACTIVE" : readable === 0 ? "UNAVAILABLE" : "DEGRADED");
  expect(keyId).toBe(unreadable.length === 0 ? await idOf(kinds) : null);
  const readableKinds = kinds.filter((kind) => !unreadable.includes(kind));
  const isProof = readableKinds.some(isSymmetric) || !kinds.some(isSymmetric);
  const wraps = readable >= (kinds.length >= 3 ? 2 : 1) && isProof;
  const gauge = broker.harness.counted.findLast(({ name }) => name === "kek_broker_kek_wraps");
  expect(gauge?.value).toBe(wraps ? 1 : 0);
}

/** Seals, and holds answer and custody entry against what must be. @returns the envelope, if there is one. */
async function sealed(broker: TestBroker, one: Case): Promise<string | undefined> {
  const { kinds, trouble, troubled } = one;
  const proven = kinds.filter((kind) => trouble.counts || !troubled.includes(kind));
  const answer = await wrap(broker.harness);
  const { result, members } = broker.outcome();
  expect(members.map(({ name, result }) => [name, result])).toEqual(
    kinds.map((name) => [name, troubled.includes(name) ? trouble.result : "ok"]),
  );
  for (const { name, keyVersion } of members.filter((member) => member.result === "ok")) {
    expect(keyVersion).toBe(troubled.some((kind) => kind === name) ? LYING_VERSION : `${name}-1`);
  }
  if (!suffices(kinds, proven)) {
    expect([answer.status, problemCode(answer)], answer.text).toEqual(trouble.refusal);
    expect(result).toBe(trouble.refusal[1]);
    return undefined;
  }
  expect(answer.status, answer.text).toBe(200);
  expect(result).toBe("ok");
  const { ciphertext, degraded, keyId } = WrapResponse.parse(answer.json);
  expect(degraded).toEqual(trouble.counts ? undefined : troubled);
  const unknown = !trouble.readable && !trouble.counts;
  expect(keyId).toBe(unknown ? null : await idOf(kinds, trouble.counts ? troubled : []));
  return ciphertext;
}

/** All is well again, but for each choice of members in turn. */
async function requireOpensWithout(
  members: readonly Member[],
  wrapped: readonly CloudKind[],
  ciphertext: string,
): Promise<void> {
  for (const gone of subsetsOf(members.map(({ name }) => name))) {
    const broker = brokerOf(members);
    away(broker, gone);
    const answer = await unwrap(broker.harness, ciphertext);
    const opener = inOrder(wrapped).find((name) => !gone.includes(name));
    const opened = broker.outcome().members.filter(({ result }) => result === "ok");
    expect(opened.map(({ name }) => name)).toEqual(opener === undefined ? [] : [opener]);
    if (opener !== undefined) expect([answer.status, answer.json["plaintext"]]).toEqual([200, PLAINTEXT]);
    else expect([answer.status, problemCode(answer)]).toEqual([503, "DependencyTimeout"]);
  }
}

describe.each(KEKS.map((kinds) => [kinds.join(", "), kinds] as const))("a KEK of %s", (_name, kinds) => {
  const subsets = subsetsOf(kinds).filter(({ length }) => length > 0);
  const cases = TROUBLES.flatMap((trouble) => subsets.map((troubled) => ({ kinds, trouble, troubled })));
  test.each(cases.map((one) => [one.troubled.join(" and "), one.trouble.name, one] as const))(
    "%s %s: it seals if enough others do, says who is missing, and what it sealed opens",
    async (_troubled, _trouble, one) => {
      const members = membersOf(...kinds);
      const ciphertext = await sealed(troubledBroker(members, one), one);
      const { trouble, troubled } = one;
      const wrapped = kinds.filter((kind) => trouble.counts || !troubled.includes(kind));
      expect(ciphertext !== undefined).toBe(suffices(kinds, wrapped));
      await requireStatus(troubledBroker(members, one), one);
      if (ciphertext === undefined) return;
      await requireOpensWithout(members, wrapped, ciphertext);
    },
  );

  test("keeps its id when any of them fall away, if the broker has met them", async () => {
    for (const troubled of subsets) {
      const broker = brokerOf(membersOf(...kinds));
      await wrap(broker.harness);
      away(broker, troubled);
      const status = KekStatus.parse((await call(broker.harness, "GET", STATUS)).json);
      expect(status.keyId).toBe(await idOf(kinds));
      const answer = await wrap(broker.harness);
      const rest = kinds.filter((kind) => !troubled.includes(kind));
      if (suffices(kinds, rest)) expect(answer.json["keyId"]).toBe(await idOf(kinds));
      else expect(problemCode(answer)).toBe("DependencyTimeout");
    }
  });
});
