import { describe, expect, test } from "vitest";

import { MAX_WRAP_BYTES } from "../../src/envelope/head.ts";
import { MemberFailure } from "../../src/envelope/member.ts";
import { readHead } from "../../src/envelope/open.ts";
import { DEK, KEY_ID, bytesFrom, codeOf, failureOf, openFor, sealFor } from "./kit.ts";
import { failing, fakeMember, unreachable } from "./members.ts";

const names = (reports: readonly { name: string }[]) => reports.map(({ name }) => name);
const membersIn = (envelope: Uint8Array<ArrayBuffer>) => names(readHead(envelope).members);

describe("sealing", () => {
  test("holds every member's wrap, in the configuration's order", async () => {
    const sealed = await sealFor({ members: ["aws", "gcp", "azure"].map((name) => fakeMember(name)) });
    expect(membersIn(sealed.envelope)).toEqual(["aws", "gcp", "azure"]);
    expect([...sealed.used]).toEqual([
      ["aws", "aws-1"],
      ["gcp", "gcp-1"],
      ["azure", "azure-1"],
    ]);
    expect(sealed.missing).toEqual([]);
    expect(sealed.keyId).toBe(KEY_ID);
  });

  test("asks for the key id of the versions that were used, and writes it into the head", async () => {
    let asked: ReadonlyMap<string, string> | undefined;
    const sealed = await sealFor({
      members: [fakeMember("aws", { keyVersion: "7" }), unreachable(fakeMember("gcp"))],
      keyIdOf: async (used) => {
        asked = used;
        return "prod-secrets.3.qqqqqqqqqqqqqqqq";
      },
    });
    expect(asked && [...asked]).toEqual([["aws", "7"]]);
    expect(readHead(sealed.envelope).keyId).toBe("prod-secrets.3.qqqqqqqqqqqqqqqq");
  });

  test("writes no key id when it cannot be known", async () => {
    const sealed = await sealFor({ members: [fakeMember("aws")], keyIdOf: () => null });
    expect(sealed.keyId).toBeNull();
    expect(readHead(sealed.envelope).keyId).toBeNull();
  });

  test("writes the version only of members that need it to open", async () => {
    const openVersion = bytesFrom(5, 16);
    const members = [fakeMember("aws"), fakeMember("azure", { symmetric: false, openVersion })];
    const head = readHead((await sealFor({ members })).envelope);
    expect(head.members.map((member) => member.openVersion)).toEqual([undefined, openVersion]);
  });

  test("draws a fresh W each time, so the same DEK never seals alike", async () => {
    const random = (length: number) => crypto.getRandomValues(new Uint8Array(length));
    const members = [fakeMember("aws")];
    const [one, two] = await Promise.all([sealFor({ members, random }), sealFor({ members, random })]);
    expect(one.envelope).not.toEqual(two.envelope);
  });

  test("wipes W in every buffer it or a member held, and leaves the caller's plaintext alone", async () => {
    const members = [fakeMember("aws"), fakeMember("gcp")];
    const plaintext = DEK.slice();
    let w = new Uint8Array();
    await sealFor({ members, plaintext, random: (length) => (w = bytesFrom(3, length)) });
    const buffers = [w, ...members.flatMap((member) => member.held)];
    expect(buffers).toHaveLength(5);
    for (const buffer of buffers) expect(buffer).toEqual(new Uint8Array(32));
    expect(plaintext).toEqual(DEK);
  });

  test("wipes W when it fails too", async () => {
    let w = new Uint8Array();
    const members = [unreachable(fakeMember("aws"))];
    await codeOf(sealFor({ members, random: (length) => (w = bytesFrom(3, length)) }));
    expect(w).toEqual(new Uint8Array(32));
  });

  test("does not wipe W under a member still at work when another has a defect", async () => {
    let seen: Uint8Array | undefined;
    const slow = {
      ...fakeMember("slow"),
      wrap: async (w: Uint8Array<ArrayBuffer>) => {
        await new Promise((resolve) => setImmediate(resolve));
        seen = w.slice();
        return { wrap: w.slice() };
      },
    };
    const broken = { ...fakeMember("broken"), wrap: () => Promise.reject(new RangeError("a defect")) };
    await expect(sealFor({ members: [broken, slow] })).rejects.toThrow(RangeError);
    expect(seen).toEqual(bytesFrom(77, 32));
  });
});

describe("a wrap counts only when it opens again to W", () => {
  const other = bytesFrom(99, 32);
  const fits = fakeMember("gcp");
  const lying = {
    "wraps something else": {
      ...fakeMember("aws"),
      wrap: () => fakeMember("aws").wrap(other),
    },
    "returns another key's wrap": {
      ...fakeMember("aws"),
      wrap: (w: Uint8Array<ArrayBuffer>) => fakeMember("stranger").wrap(w),
    },
    "opens to half of it": {
      ...fakeMember("aws"),
      unwrap: async () => ({ plaintext: bytesFrom(77, 16), keyVersion: "1" }),
    },
    "opens to more of it": {
      ...fakeMember("aws"),
      unwrap: async () => ({ plaintext: bytesFrom(77, 33), keyVersion: "1" }),
    },
    "names no version": fakeMember("aws", { keyVersion: "" }),
    "wraps to nothing": { ...fakeMember("aws"), wrap: async () => ({ wrap: new Uint8Array() }) },
    "wraps to too much": {
      ...fakeMember("aws"),
      wrap: async () => ({ wrap: new Uint8Array(MAX_WRAP_BYTES + 1) }),
    },
    "gives a version of 15 bytes": fakeMember("aws", { openVersion: bytesFrom(1, 15) }),
    "fails before it wrapped": failing(fakeMember("aws"), { wrap: "before" }),
    "fails after it wrapped": failing(fakeMember("aws"), { wrap: "after" }),
    "fails before it unwrapped": failing(fakeMember("aws"), { unwrap: "before" }),
    "fails after it unwrapped": failing(fakeMember("aws"), { unwrap: "after" }),
    "refuses its own wrap": failing(fakeMember("aws"), { unwrap: "before", final: true }),
  };

  test.each(Object.entries(lying))("a member that %s is left out and reported", async (_, member) => {
    const sealed = await sealFor({ members: [member, fits] });
    expect(membersIn(sealed.envelope)).toEqual(["gcp"]);
    expect([...sealed.used.keys()]).toEqual(["gcp"]);
    expect(names(sealed.missing)).toEqual(["aws"]);
    expect(sealed.missing[0]?.failure).toBeInstanceOf(MemberFailure);
  });

  test.each(Object.entries(lying))("a member that %s seals nothing alone", async (_, member) => {
    const error = await failureOf(sealFor({ members: [member] }));
    expect(error.code).toBe("Unavailable");
    expect(names(error.failures)).toEqual(["aws"]);
  });
});

describe("the quorum", () => {
  const three = ["aws", "gcp", "local"];

  const members = (away: readonly string[]) =>
    three.map((name) => (away.includes(name) ? unreachable(fakeMember(name)) : fakeMember(name)));

  test.each([
    { quorum: 2, away: ["aws"] },
    { quorum: 1, away: ["aws", "gcp"] },
    { quorum: 3, away: [] },
  ])("of $quorum is met with $away away", async ({ quorum, away }) => {
    const sealed = await sealFor({ members: members(away), wrapQuorum: quorum });
    expect(names(sealed.missing)).toEqual(away);
  });

  test.each([
    { quorum: 2, away: ["aws", "gcp"] },
    { quorum: 3, away: ["local"] },
    { quorum: 0, away: three },
  ])("of $quorum is not met with $away away", async ({ quorum, away }) => {
    const error = await failureOf(sealFor({ members: members(away), wrapQuorum: quorum }));
    expect(error.code).toBe("Unavailable");
    expect(names(error.failures)).toEqual(away);
  });

  test("is one at least, whatever is asked", async () => {
    const away = unreachable(fakeMember("azure", { symmetric: false }));
    expect(await codeOf(sealFor({ members: [away], wrapQuorum: 0 }))).toBe("Unavailable");
  });

  test("needs a symmetric wrap where the KEK has a symmetric member", async () => {
    const members = [unreachable(fakeMember("aws")), fakeMember("azure", { symmetric: false })];
    expect(await codeOf(sealFor({ members }))).toBe("Unavailable");
  });

  test("is met by RSA alone where the KEK has nothing else", async () => {
    const members = [fakeMember("azure", { symmetric: false })];
    const { envelope } = await sealFor({ members });
    expect((await openFor({ envelope, members })).plaintext).toEqual(DEK);
  });
});

describe("what is refused before any member is asked", () => {
  test.each([
    ["a threshold of 2", { threshold: 2 }, "UnsupportedOperation"],
    ["a threshold of 0", { threshold: 0 }, "UnsupportedOperation"],
  ])("%s", async (_, input, code) => {
    const member = fakeMember("aws");
    expect(await codeOf(sealFor({ members: [member, fakeMember("gcp")], ...input }))).toBe(code);
    expect(member.calls).toEqual([]);
  });

  test.each([0, 257])("a plaintext of %i bytes, as the caller's mistake", async (length) => {
    const member = fakeMember("aws");
    await expect(sealFor({ members: [member], plaintext: new Uint8Array(length) })).rejects.toThrow(
      TypeError,
    );
    expect(member.calls).toEqual([]);
  });

  test("a source of randomness that gives too little", async () => {
    await expect(sealFor({ members: [fakeMember("aws")], random: () => new Uint8Array(16) })).rejects.toThrow(
      TypeError,
    );
  });
});

test("an envelope that nobody could open again is not made", async () => {
  const large = Array.from({ length: 5 }, (_, index) => {
    const member = fakeMember(`rsa-${index}`);
    const tail = new Uint8Array(832);
    return {
      ...member,
      wrap: async (w: Uint8Array<ArrayBuffer>) => ({
        wrap: Uint8Array.from([...(await member.wrap(w)).wrap, ...tail]),
      }),
      unwrap: (wrap: Uint8Array<ArrayBuffer>) => member.unwrap(wrap.slice(0, 32)),
    };
  });
  expect(await codeOf(sealFor({ members: large }))).toBe("UnsupportedOperation");
  expect((await sealFor({ members: large.slice(1) })).envelope.length).toBeLessThanOrEqual(4096);
});

test("a name outside the format is the caller's mistake", async () => {
  await expect(sealFor({ members: [fakeMember("AWS")] })).rejects.toThrow(TypeError);
  await expect(sealFor({ members: [fakeMember("aws"), fakeMember("aws")] })).rejects.toThrow(TypeError);
});
