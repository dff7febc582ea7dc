import { describe, expect, expectTypeOf, it } from "vitest";

import type { Member } from "../../src/config/schema.ts";
import { type MemberKey, providerFor } from "../../src/kms/provider-for.ts";
import { KEY_ARN } from "./fake-aws.ts";

const call = { signal: new AbortController().signal, requestId: "request-1" };

describe("a member's provider", () => {
  it("is AWS KMS for an awsKms member", () => {
    expect(providerFor({ awsKms: { keyArn: KEY_ARN } }).maxWrapBytes).toBe(184);
  });

  it("is the local one for a local member", async () => {
    const local = { keys: [{ version: "v1", key: Buffer.alloc(32).toString("base64") }], primary: "v1" };
    await expect(providerFor({ local }).currentVersion(call)).resolves.toMatch(/^v1-/);
  });

  it("is none for a member without an alternative, which the configuration refuses", () => {
    expect(() => providerFor({})).toThrow(TypeError);
  });

  it("is there for every alternative that the configuration has", () => {
    expectTypeOf<Exclude<keyof Member, "use">>().toEqualTypeOf<keyof MemberKey>();
    expectTypeOf<Member>().toExtend<MemberKey>();
  });
});
