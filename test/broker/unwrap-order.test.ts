import { describe, expect, test } from "vitest";

import { createFakeCloud, type CloudKind } from "./fake-cloud.ts";
import { PLAINTEXT, problemCode, unwrap, wrap } from "./fixture.ts";
import { away, brokerOf, fail, inOrder, isSymmetric, membersOf, subsetsOf } from "./multi-member.ts";
import type { Disguise, Member, TestBroker } from "./multi-member.ts";

const KINDS = ["az", "aws", "gcp"] as const;
const SAYS_NO_MORE = "has that version disabled, and says no more";
/** How one member meets an unwrap. */
const CONDUCTS = [
  "opens",
  "away",
  "disabled",
  "has that version disabled",
  SAYS_NO_MORE,
  "refuses",
  "says never",
  "gives another W",
] as const;
type Conduct = (typeof CONDUCTS)[number];

const FAULTS = {
  away: "Timeout",
  disabled: "KeyUnavailable",
  "has that version disabled": "KeyUnavailable",
  [SAYS_NO_MORE]: "KeyUnavailable",
  refuses: "Refused",
  "says never": "InvalidCiphertext",
} as const;

function brokerWhere(members: readonly Member[], conducts: ReadonlyMap<CloudKind, Conduct>): TestBroker {
  const broker = brokerOf(members, {
    disguise: ({ name }, { provider }) =>
      conducts.get(name) === "gives another W"
        ? {
            ...provider,
            unwrap: async (...all) => ({ ...(await provider.unwrap(...all)), plaintext: new Uint8Array(32) }),
          }
        : provider,
  });
  for (const [name, conduct] of conducts) {
    if (conduct !== "opens" && conduct !== "gives another W")
      fail(broker, [name], { code: FAULTS[conduct], after: false });
    const { faults } = broker.view(name);
    if (conduct === "has that version disabled") faults.delete("version");
    if (conduct === SAYS_NO_MORE) faults.set("version", { code: "Timeout", after: false });
  }
  return broker;
}

/** Who is asked, and how it ends: by whom it is opened, or with which code. */
function expected(conducts: ReadonlyMap<CloudKind, Conduct>): { asked: CloudKind[]; end: string } {
  const asked: CloudKind[] = [];
  let steered = false;
  let allDisabled = true;
  for (const name of inOrder([...conducts.keys()])) {
    if (steered && !isSymmetric(name)) break;
    const conduct = conducts.get(name);
    asked.push(name);
    if (conduct === "opens") return { asked, end: name };
    if (conduct === "says never" || conduct === "gives another W") return { asked, end: "InvalidCiphertext" };
    const says = conduct === undefined ? undefined : FAULTS[conduct];
    if (says === "KeyUnavailable") {
      if (conduct !== "disabled" && isSymmetric(name)) steered = true;
      if (conduct === SAYS_NO_MORE && isSymmetric(name)) allDisabled = false;
    } else {
      if (says === "Refused" && isSymmetric(name)) steered = true;
      allDisabled = false;
    }
  }
  return { asked, end: allDisabled ? "KeyUnavailable" : "DependencyTimeout" };
}

describe("an unwrap asks symmetric members first, goes on only past those that are unavailable, and ends at the first word", () => {
  const all = CONDUCTS.flatMap((az) => CONDUCTS.flatMap((aws) => CONDUCTS.map((gcp) => ({ az, aws, gcp }))));
  test.each(all)("az $az, aws $aws, gcp $gcp", async (conduct) => {
    const members = membersOf(...KINDS);
    const { ciphertext } = (await wrap(brokerOf(members).harness)).json;
    const conducts = new Map(KINDS.map((name) => [name, conduct[name]]));
    const broker = brokerWhere(members, conducts);
    const answer = await unwrap(broker.harness, ciphertext);
    const { asked, end } = expected(conducts);
    expect(broker.outcome().members.map(({ name }) => name)).toEqual(asked);
    for (const name of KINDS) {
      const unwraps = broker.view(name).calls.filter((call) => call === "unwrap");
      expect(unwraps).toHaveLength(asked.includes(name) ? 1 : 0);
    }
    if (end in conduct) expect([answer.status, answer.json["plaintext"]]).toEqual([200, PLAINTEXT]);
    else expect(problemCode(answer), answer.text).toBe(end);
  });
});

describe("a member whose wraps open only for itself, as a broker that proves each wrap cannot see", () => {
  const cases = KINDS.flatMap((liar) => subsetsOf(KINDS).map((gone) => [liar, gone] as const));
  test.each(cases)(
    "%s, with %j away: other brokers read what another member opens first",
    async (liar, gone) => {
      const members = membersOf(...KINDS);
      const disguise: Disguise = ({ name }, { provider }) =>
        name === liar ? createFakeCloud(liar, "private").from().provider : provider;
      const { ciphertext } = (await wrap(brokerOf(members, { disguise }).harness)).json;
      const broker = brokerOf(members);
      away(broker, gone);
      const answer = await unwrap(broker.harness, ciphertext);
      const first = inOrder(KINDS).find((name) => !gone.some((each) => each === name));
      if (first === undefined) expect(problemCode(answer)).toBe("DependencyTimeout");
      else if (first === liar) expect(problemCode(answer)).toBe("InvalidCiphertext");
      else expect(answer.json["plaintext"]).toBe(PLAINTEXT);

      // The way out: take it out of the configuration.
      const without = brokerOf(members.filter(({ name }) => name !== liar));
      expect((await unwrap(without.harness, ciphertext)).json["plaintext"]).toBe(PLAINTEXT);
    },
  );
});

describe("an envelope of RSA members alone", () => {
  const rsaOnly = async (members: readonly Member[]) =>
    (await wrap(brokerOf(members.filter(({ name }) => !isSymmetric(name))).harness)).json["ciphertext"];

  test("is refused where the KEK has a symmetric member, whatever its use, and nobody is asked", async () => {
    for (const readers of [[], ["aws"], ["az"]] as const) {
      const members = membersOf("aws", "az");
      const broker = brokerOf(members, { readers });
      const answer = await unwrap(broker.harness, await rsaOnly(members));
      expect([answer.status, problemCode(answer)]).toEqual([400, "InvalidCiphertext"]);
      expect([...broker.view("az").calls, ...broker.view("aws").calls]).toEqual([]);
    }
  });

  test("opens where the KEK has none, and with allowRsaOnly", async () => {
    const members = membersOf("aws", "az");
    const ciphertext = await rsaOnly(members);
    for (const broker of [
      brokerOf(members, { kek: { allowRsaOnly: true } }),
      brokerOf(members.filter(({ name }) => name === "az")),
    ]) {
      expect((await unwrap(broker.harness, ciphertext)).json["plaintext"]).toBe(PLAINTEXT);
    }
  });
});
