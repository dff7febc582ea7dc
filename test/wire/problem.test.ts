import { describe, expect, it } from "vitest";

import { isRetryable, PROBLEM_CODES, type ProblemCode, statusOf } from "../../src/wire/problem.ts";

/** The contract with every shim in the field: a row is never changed, only added. */
const TABLE: Record<ProblemCode, readonly [status: number, retryable: boolean]> = {
  Validation: [400, false],
  InvalidCiphertext: [400, false],
  AuthenticationFailed: [401, false],
  ClockSkew: [401, false],
  AccessDenied: [403, false],
  Revoked: [403, false],
  SealedByAnotherCluster: [403, false],
  NotFound: [404, false],
  MethodNotAllowed: [405, false],
  KeyUnavailable: [409, true],
  PayloadTooLarge: [413, false],
  UnsupportedMediaType: [415, false],
  Throttled: [429, true],
  Internal: [500, true],
  UnsupportedOperation: [501, false],
  DependencyTimeout: [503, true],
  AuditUnavailable: [503, true],
};

describe("a problem code", () => {
  it.each(PROBLEM_CODES)("%s has its status, and says whether to try again", (code) => {
    expect([statusOf(code), isRetryable(code)]).toEqual(TABLE[code]);
  });

  it("is in the table exactly if it exists", () => {
    expect(Object.keys(TABLE).sort()).toEqual([...PROBLEM_CODES].sort());
  });
});
