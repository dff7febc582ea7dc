import { describe, expect, test } from "vitest";

import { isBrokersOwn, verdictOf } from "../../src/shim/verdict.ts";
import { PROBLEM_CODES } from "../../src/wire/problem.ts";

describe("what a broker's refusal is followed by", () => {
  test.each(["InvalidCiphertext", "Validation", "Revoked"] as const)("%s by nothing", (code) => {
    expect(verdictOf(code)).toBe("final");
  });

  test.each(["SealedByAnotherCluster", "UnsupportedOperation", "KeyUnavailable"] as const)(
    "%s by the next broker, and puts none aside: an altered Secret can bring it about",
    (code) => {
      expect(verdictOf(code)).not.toBe("final");
      expect(isBrokersOwn(code)).toBe(false);
    },
  );

  test("only what no stored envelope can bring about tells against a broker", () => {
    expect(PROBLEM_CODES.filter(isBrokersOwn)).toEqual([
      "AuthenticationFailed",
      "ClockSkew",
      "AccessDenied",
      "NotFound",
      "MethodNotAllowed",
      "UnsupportedMediaType",
      "Throttled",
      "Internal",
      "DependencyTimeout",
      "AuditUnavailable",
    ]);
  });
});
