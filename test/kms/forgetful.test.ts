import { describe, expect, it, vi } from "vitest";

import { forgetful } from "../../src/kms/forgetful.ts";
import { ProviderError, type ProviderErrorCode } from "../../src/kms/key-provider.ts";

const call = { signal: new AbortController().signal, requestId: "request-1" };
const context = { kek: "prod", cluster: "prod-eu-1" };
const bytes = new Uint8Array(32);

function setUp(code: ProviderErrorCode) {
  const fail = () => Promise.reject(new ProviderError(code, "fake"));
  const forget = vi.fn<() => void>();
  const shape = { symmetric: true, maxWrapBytes: 1, needsVersionToUnwrap: false };
  const provider = forgetful({ ...shape, wrap: fail, unwrap: fail, currentVersion: fail }, { forget });
  const acts = [
    () => provider.wrap(bytes, context, call),
    () => provider.unwrap(bytes, context, call),
    () => provider.currentVersion(call),
  ];
  return { acts, forget };
}

describe("credentials", () => {
  it("are forgotten by each call that is denied, which fails as it did", async () => {
    const { acts, forget } = setUp("AccessDenied");
    for (const [index, act] of acts.entries()) {
      await expect(act()).rejects.toMatchObject({ code: "AccessDenied" });
      expect(forget).toHaveBeenCalledTimes(index + 1);
    }
  });

  it.each(["InvalidCiphertext", "KeyUnavailable", "Throttled", "Timeout", "Unavailable", "Refused"] as const)(
    "are kept after %s",
    async (code) => {
      const { acts, forget } = setUp(code);
      for (const act of acts) await expect(act()).rejects.toMatchObject({ code });
      expect(forget).not.toHaveBeenCalled();
    },
  );
});
