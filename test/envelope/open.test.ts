import { describe, expect, test } from "vitest";

import { readHead } from "../../src/envelope/open.ts";
import { CLUSTER, DEK, KEK, KEY_ID, bytesFrom, codeOf, failureOf, flipped, openFor, sealFor } from "./kit.ts";
import { failing, fakeMember, stubbornMember, unreachable, type FakeMember } from "./members.ts";

const aws = () => fakeMember("aws");
const gcp = () => fakeMember("gcp");
const azure = () => fakeMember("azure", { symmetric: false, openVersion: bytesFrom(9, 16) });
const names = (reports: readonly { name: string }[]) => reports.map(({ name }) => name);

/** With one byte of one member's wrap changed; everything else as sealed. */
function withWrapBroken(envelope: Uint8Array<ArrayBuffer>, name: string): Uint8Array<ArrayBuffer> {
  const { wrap } = readHead(envelope).members.find((member) => member.name === name) ?? {
    wrap: new Uint8Array(),
  };
  const hex = (bytes: Uint8Array) => Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const at = hex(envelope).indexOf(hex(wrap)) / 2;
  return flipped(envelope, at * 8);
}

describe("opening", () => {
  test("gives back what was sealed, and says by whom", async () => {
    const { envelope } = await sealFor({ members: [aws()] });
    expect(await openFor({ envelope, members: [aws()] })).toEqual({
      plaintext: DEK,
      keyId: KEY_ID,
      cluster: CLUSTER,
      member: { name: "aws", keyVersion: "aws-1" },
      tried: [],
    });
  });

  test("gives a null key id for an envelope sealed without one", async () => {
    const { envelope } = await sealFor({ members: [aws()], keyIdOf: () => null });
    expect((await openFor({ envelope, members: [aws()] })).keyId).toBeNull();
  });

  test("hands the version to a member that wrote one, and only to it", async () => {
    const { envelope } = await sealFor({ members: [aws(), azure()] });
    const seen: unknown[] = [];
    const spy = (member: ReturnType<typeof aws>) => ({
      ...member,
      unwrap: (wrap: Uint8Array<ArrayBuffer>, openVersion?: Uint8Array<ArrayBuffer>) => {
        seen.push(openVersion);
        return failing(member, { unwrap: "before" }).unwrap(wrap, openVersion);
      },
    });
    await codeOf(openFor({ envelope, members: [spy(aws()), spy(azure())] }));
    expect(seen).toEqual([undefined, bytesFrom(9, 16)]);
  });

  test("asks one member only when that one can", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp()] });
    const [first, second] = [aws(), gcp()];
    await openFor({ envelope, members: [first, second] });
    expect([first.calls, second.calls]).toEqual([["unwrap"], []]);
  });

  test("asks symmetric members first, then in the configuration's order, whatever the envelope's", async () => {
    const { envelope } = await sealFor({ members: [azure(), aws(), gcp()] });
    const members = [azure(), gcp(), aws()].map(unreachable);
    const error = await failureOf(openFor({ envelope, members }));
    expect(names(error.failures)).toEqual(["gcp", "aws", "azure"]);
  });

  test("opens for each accepted cluster, and says which it was", async () => {
    const { envelope } = await sealFor({ members: [aws()], cluster: "prod-eu-0" });
    const opened = await openFor({ envelope, members: [aws()], clusters: new Set([CLUSTER, "prod-eu-0"]) });
    expect(opened.cluster).toBe("prod-eu-0");
  });

  test("wipes the W it was handed, whether it opens or not", async () => {
    const { envelope } = await sealFor({ members: [aws()] });
    const member = aws();
    await openFor({ envelope, members: [member] });
    await codeOf(openFor({ envelope: flipped(envelope, envelope.length * 8 - 1), members: [member] }));
    expect(member.held).toHaveLength(2);
    for (const buffer of member.held) expect(buffer).toEqual(new Uint8Array(32));
  });

  test("still opens after members came, went and moved in the configuration", async () => {
    const { envelope } = await sealFor({ members: [aws(), azure()] });
    const { member } = await openFor({ envelope, members: [gcp(), aws()] });
    expect(member.name).toBe("aws");
  });
});

describe("when a member is unavailable", () => {
  test.each(["before", "after"] as const)("failing %s the effect, the next one opens", async (unwrap) => {
    const { envelope } = await sealFor({ members: [aws(), gcp(), azure()] });
    const members = [failing(aws(), { unwrap }), failing(gcp(), { unwrap }), azure()];
    const opened = await openFor({ envelope, members });
    expect(opened.plaintext).toEqual(DEK);
    expect(opened.member.name).toBe("azure");
    expect(names(opened.tried)).toEqual(["aws", "gcp"]);
  });

  test("all of them: says so, with each one's failure", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp()] });
    const error = await failureOf(openFor({ envelope, members: [unreachable(aws()), unreachable(gcp())] }));
    expect(error.code).toBe("Unavailable");
    expect(error.failures.map(({ failure }) => failure.final)).toEqual([false, false]);
  });

  test("a defect is not unavailability: it does not choose the next member", async () => {
    const { envelope } = await sealFor({ members: [aws(), azure()] });
    const broken = { ...aws(), unwrap: () => Promise.reject(new RangeError("a defect")) };
    await expect(openFor({ envelope, members: [broken, azure()] })).rejects.toThrow(RangeError);
  });
});

describe("when a symmetric member does not say whether it can ever open its wrap", () => {
  const unclear = (member: FakeMember) => failing(member, { unwrap: "before", unclear: true });

  test("another symmetric one opens", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp(), azure()] });
    const opened = await openFor({ envelope, members: [unclear(aws()), gcp(), azure()] });
    expect(opened.member.name).toBe("gcp");
  });

  test("no other is asked, even if the rest is unavailable: the wrap may be written so as to lead there", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp(), azure()] });
    const last = azure();
    const error = await failureOf(openFor({ envelope, members: [unclear(aws()), unreachable(gcp()), last] }));
    expect(error.code).toBe("Unavailable");
    expect(names(error.failures)).toEqual(["aws", "gcp"]);
    expect(last.calls).toEqual([]);
  });
});

describe("what is final", () => {
  test("a member's refusal, though the next one could open", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp()] });
    const next = gcp();
    const members = [failing(aws(), { unwrap: "before", final: true }), next];
    const error = await failureOf(openFor({ envelope, members }));
    expect(error.code).toBe("InvalidEnvelope");
    expect(names(error.failures)).toEqual(["aws"]);
    expect(next.calls).toEqual([]);
  });

  test.each([
    ["another W", bytesFrom(50, 32)],
    ["half of W", bytesFrom(77, 16)],
    ["W and more", bytesFrom(77, 33)],
    ["nothing", new Uint8Array()],
  ])("a member that answers %s, though the next one could open", async (_, answer) => {
    const { envelope } = await sealFor({ members: [aws(), gcp()] });
    const next = gcp();
    const error = await failureOf(openFor({ envelope, members: [stubbornMember("aws", answer), next] }));
    expect(error.code).toBe("InvalidEnvelope");
    expect(next.calls).toEqual([]);
  });

  test("one broken wrap of many, though another member opens", async () => {
    const { envelope } = await sealFor({ members: [aws(), gcp(), azure()] });
    for (const name of ["aws", "gcp", "azure"]) {
      const broken = withWrapBroken(envelope, name);
      expect(await codeOf(openFor({ envelope: broken, members: [aws(), gcp(), azure()] }))).toBe(
        "InvalidEnvelope",
      );
    }
  });

  test("a replayed symmetric wrap beside a forged RSA wrap does not fall through to RSA", async () => {
    const forged = bytesFrom(66, 32);
    const replayed = {
      ...aws(),
      wrap: () => aws().wrap(bytesFrom(10, 32)),
      unwrap: async () => ({ plaintext: forged.slice(), keyVersion: "1" }),
    };
    const { envelope } = await sealFor({ members: [replayed, azure()], random: () => forged.slice() });
    const rsa = azure();
    expect(await codeOf(openFor({ envelope, members: [aws(), rsa] }))).toBe("InvalidEnvelope");
    expect(rsa.calls).toEqual([]);
  });
});

describe("what is refused before any member is asked", () => {
  test.each([
    ["another KEK's envelope", { kek: "other" }, "InvalidEnvelope"],
    ["another cluster's envelope", { clusters: new Set(["prod-eu-2"]) }, "SealedByAnotherCluster"],
    ["any envelope where no cluster is accepted", { clusters: new Set<string>() }, "SealedByAnotherCluster"],
    ["a threshold below the KEK's minimum", { minThreshold: 2 }, "ThresholdTooLow"],
  ])("%s", async (_, input, code) => {
    const { envelope } = await sealFor({ members: [aws()] });
    const member = aws();
    expect(await codeOf(openFor({ envelope, members: [member], ...input }))).toBe(code);
    expect(member.calls).toEqual([]);
  });

  test("an envelope none of whose members is configured", async () => {
    const { envelope } = await sealFor({ members: [aws()] });
    expect(await codeOf(openFor({ envelope, members: [gcp()] }))).toBe("UnknownMembers");
  });

  test("RSA wraps alone where the KEK has a symmetric member, unless allowed", async () => {
    const { envelope } = await sealFor({ members: [azure()] });
    const members = [aws(), azure()];
    expect(await codeOf(openFor({ envelope, members }))).toBe("RsaOnly");
    expect((await openFor({ envelope, members, allowRsaOnly: true })).member.name).toBe("azure");
  });

  test("RSA wraps beside one of a symmetric member that is not configured", async () => {
    const { envelope } = await sealFor({ members: [aws(), azure()] });
    expect(await codeOf(openFor({ envelope, members: [gcp(), azure()] }))).toBe("RsaOnly");
  });

  test("RSA wraps alone are all there can be in a KEK of RSA members", async () => {
    const { envelope } = await sealFor({ members: [azure()] });
    expect((await openFor({ envelope, members: [azure()] })).member.name).toBe("azure");
  });
});

test("errors tell neither plaintext nor names from the envelope", async () => {
  const { envelope } = await sealFor({ members: [aws()], cluster: "someone-elses" });
  const error = await failureOf(openFor({ envelope, members: [aws()] }));
  expect(error.message).not.toContain("someone-elses");
  expect(error.message).not.toContain(KEK);
});
