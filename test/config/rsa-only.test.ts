import { describe, expect, it } from "vitest";

import { compareConfigs } from "../../src/config/compare.ts";
import { ARN, mistakesIn, parseValue } from "./fixture.ts";

const AWS = { awsKms: { keyArn: ARN } };
const RSA = { azureKeyVault: { keyUrl: "https://some-vault.vault.azure.net/keys/rsa" } };
const HSM = {
  azureKeyVault: { keyUrl: "https://some-hsm.managedhsm.azure.net/keys/aes", algorithm: "A256KW" },
};
const reader = (member: object) => ({ ...member, use: "unwrap" });
const withKek = (kek: object) => ({ audience: "https://kek.example.com", keks: { prod: kek } });

const told = (old: object, next: object): string[] =>
  compareConfigs(parseValue(withKek(old)), parseValue(withKek(next))).map(({ path }) => path);
const AT = "keks.prod.allowRsaOnly";

describe("a KEK whose RSA members wrap alone beside a symmetric one", () => {
  it("is refused unless it opens what they seal", () => {
    const members = { aws: reader(AWS), az: RSA };
    expect(mistakesIn(withKek({ members }))).toEqual([
      `${AT}: must be true where RSA members wrap alone and a symmetric one is there: nothing sealed now would open`,
    ]);
    expect(mistakesIn(withKek({ members, allowRsaOnly: true }))).toEqual([]);
  });

  it.each([
    ["a symmetric member wraps", { aws: AWS, az: RSA }],
    ["there is no symmetric member", { az: RSA }],
    ["an HSM's symmetric key wraps", { hsm: HSM, az: reader(RSA) }],
  ])("is none of this: %s", (_name, members) => {
    expect(mistakesIn(withKek({ members }))).toEqual([]);
  });
});

describe("between two configurations, what one side seals the other opens", () => {
  it("when the last symmetric member stops wrapping: allowRsaOnly comes first", () => {
    const both = { members: { aws: AWS, az: RSA } };
    const open = { ...both, allowRsaOnly: true };
    const retired = { members: { aws: reader(AWS), az: RSA }, allowRsaOnly: true, epoch: 1 };
    expect(told(both, retired)).toEqual([AT]);
    expect([told(both, open), told(open, retired)]).toEqual([[], []]);
  });

  it("when an RSA KEK gets its first symmetric member, and until that wraps everywhere", () => {
    const rsa = { members: { az: RSA } };
    const added = { members: { az: RSA, aws: reader(AWS) }, allowRsaOnly: true };
    const promoted = { members: { az: RSA, aws: AWS }, epoch: 1 };
    const open = { ...promoted, allowRsaOnly: true };
    expect(told(added, promoted)).toEqual([AT]);
    expect([told(rsa, added), told(added, open), told(open, promoted)]).toEqual([[], [], []]);
  });
});
