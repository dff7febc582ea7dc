import { describe, expect, test } from "vitest";

import type { ProviderErrorCode } from "../../src/kms/key-provider.ts";
import { PLAINTEXT, problemCode, unwrap, wrap } from "./fixture.ts";
import { brokerOf, fail, membersOf, type TestBroker } from "./multi-member.ts";

/**
 * An envelope as somebody can write it who has etcd and public keys: it names an RSA member, and of the symmetric ones
 * the one that suits him. The broker cannot tell it from one that was sealed when the KEK had no other.
 */
async function forged(members: ReturnType<typeof membersOf>): Promise<unknown> {
  const named = members.filter(({ name }) => name !== "aws");
  return (await wrap(brokerOf(named).harness)).json["ciphertext"];
}

function brokerWithoutGcp(
  members: ReturnType<typeof membersOf>,
  code: ProviderErrorCode,
  options: Parameters<typeof brokerOf>[1] = {},
): TestBroker {
  const broker = brokerOf(members, options);
  fail(broker, ["gcp"], { code, after: false });
  return broker;
}

const MEMBERS = ["gcp", "aws", "az"] as const;

describe.each(["KeyUnavailable", "AccessDenied"] as const)(
  "an envelope that names one symmetric member, which says %s",
  (code) => {
    test.each([
      ["opens", undefined],
      ["is asked too often to say", "Throttled"],
    ] as const)("does not open by RSA while another one %s", async (_how, fault) => {
      const members = membersOf(...MEMBERS);
      const broker = brokerWithoutGcp(members, code, { readers: ["gcp"] });
      if (fault !== undefined) fail(broker, ["aws"], { code: fault, after: false });
      const answer = await unwrap(broker.harness, await forged(members));
      expect(answer.status).toBeGreaterThanOrEqual(400);
      expect(broker.view("az").calls).not.toContain("unwrap");
    });

    test.each(["KeyUnavailable", "AccessDenied", "Timeout", "Unavailable"] as const)(
      "opens by RSA while the other one says %s",
      async (other) => {
        const members = membersOf(...MEMBERS);
        const broker = brokerWithoutGcp(members, code);
        fail(broker, ["aws"], { code: other, after: false });
        const answer = await unwrap(broker.harness, await forged(members));
        expect(answer.json["plaintext"]).toBe(PLAINTEXT);
      },
    );

    test("opens by RSA where the other one does not wrap", async () => {
      const members = membersOf(...MEMBERS);
      const broker = brokerWithoutGcp(members, code, { readers: ["aws"] });
      expect((await unwrap(broker.harness, await forged(members))).json["plaintext"]).toBe(PLAINTEXT);
    });

    test("opens by RSA with allowRsaOnly, which takes RSA wraps alone as well", async () => {
      const members = membersOf(...MEMBERS);
      const broker = brokerWithoutGcp(members, code, { kek: { allowRsaOnly: true } });
      expect((await unwrap(broker.harness, await forged(members))).json["plaintext"]).toBe(PLAINTEXT);
    });
  },
);

describe("an envelope that names one symmetric member, whose cloud is away", () => {
  test.each(["Timeout", "Unavailable", "Throttled"] as const)("opens by RSA: %s", async (code) => {
    const members = membersOf(...MEMBERS);
    const broker = brokerWithoutGcp(members, code);
    expect((await unwrap(broker.harness, await forged(members))).json["plaintext"]).toBe(PLAINTEXT);
  });
});

test("a version that is disabled while the key works leads to RSA with allowRsaOnly alone", async () => {
  const members = membersOf("gcp", "az");
  const { ciphertext } = (await wrap(brokerOf(members).harness)).json;
  for (const allowRsaOnly of [false, true]) {
    const broker = brokerWithoutGcp(members, "KeyUnavailable", { kek: { allowRsaOnly } });
    broker.view("gcp").faults.delete("version");
    const answer = await unwrap(broker.harness, ciphertext);
    if (allowRsaOnly) expect(answer.json["plaintext"]).toBe(PLAINTEXT);
    else expect(problemCode(answer)).toBe("KeyUnavailable");
  }
});
