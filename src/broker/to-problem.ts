import { EnvelopeError } from "../envelope/envelope-error.ts";
import type { MemberReport } from "../envelope/member.ts";
import { ProviderError, type ProviderErrorCode } from "../kms/key-provider.ts";
import { BrokerProblem } from "./problem.ts";

/**
 * What the caller is told of anything that went wrong with an act. Causes stay inside.
 * @param outOfTime Whether the caller's time had run out by then.
 */
export function toProblem(error: unknown, outOfTime: boolean): BrokerProblem {
  if (error instanceof BrokerProblem) return error;
  if (error instanceof EnvelopeError) return envelopeProblem(error);
  if (outOfTime) {
    return new BrokerProblem(
      "DependencyTimeout",
      "The KEK's clouds did not answer within the time of this request: try again, with more time or at another broker.",
      { cause: error },
    );
  }
  return new BrokerProblem("Internal", "The broker failed: its log tells more under this request id.", {
    cause: error,
  });
}

function envelopeProblem(error: EnvelopeError): BrokerProblem {
  const cause = error;
  switch (error.code) {
    case "InvalidEnvelope":
      return new BrokerProblem(
        "InvalidCiphertext",
        "This ciphertext was not made by this KEK, or was altered.",
        {
          cause,
        },
      );
    case "UnsupportedVersion":
      return new BrokerProblem(
        "UnsupportedOperation",
        "This ciphertext is of a version that this broker does not know: ask a newer one.",
        { cause },
      );
    case "UnsupportedOperation":
      return new BrokerProblem(
        "UnsupportedOperation",
        "This broker cannot seal or open for such a KEK yet.",
        {
          cause,
        },
      );
    case "SealedByAnotherCluster":
      return sealedByAnotherCluster();
    case "ThresholdTooLow":
      return new BrokerProblem(
        "InvalidCiphertext",
        "This ciphertext needs fewer members than the KEK's `minThreshold` demands.",
        { cause },
      );
    case "RsaOnly":
      return new BrokerProblem(
        "InvalidCiphertext",
        "This ciphertext holds no wrap of a symmetric member, so it proves no origin: see `allowRsaOnly`.",
        { cause },
      );
    case "UnknownMembers":
      return new BrokerProblem(
        "KeyUnavailable",
        "No member that made this ciphertext is in the KEK's configuration: put one back, with `use: unwrap`.",
        { cause },
      );
    case "Unavailable":
      return unavailable(error.failures, cause);
  }
}

/** Says nothing of whose it is. */
export function sealedByAnotherCluster(): BrokerProblem {
  return new BrokerProblem(
    "SealedByAnotherCluster",
    "This ciphertext is another cluster's: a restore needs `mayOpen` in the broker's configuration.",
    { reason: "another-cluster" },
  );
}

function unavailable(failures: readonly MemberReport[], cause: unknown): BrokerProblem {
  const codes = new Set(failures.map(({ failure }) => codeOf(failure.cause)));
  const told = failures.map(({ name, failure }) => `${name}: ${codeOf(failure.cause)}`).join(", ");
  if (codes.size === 1 && codes.has("KeyUnavailable")) {
    return new BrokerProblem(
      "KeyUnavailable",
      `The KEK's keys are disabled or gone in their clouds (${told}): enable them there.`,
      { cause },
    );
  }
  const throttled =
    codes.has("Throttled") && [...codes].every((code) => code === "Throttled" || code === "KeyUnavailable");
  if (throttled) {
    return new BrokerProblem("Throttled", `The KEK's clouds throttle (${told}): wait, then try again.`, {
      retryAfter: 1,
      cause,
    });
  }
  return new BrokerProblem(
    "DependencyTimeout",
    `Too few of the KEK's members could act (${told}): try again, or at another broker.`,
    { cause },
  );
}

/** A member that broke its contract is as good as unavailable. */
function codeOf(cause: unknown): ProviderErrorCode {
  return cause instanceof ProviderError ? cause.code : "Unavailable";
}
