import { status } from "@grpc/grpc-js";

import type { BrokerCallCode, KmsErrorCode } from "./errors.ts";

/** The gRPC status of everything that can go wrong behind the socket. */
export function grpcStatusOf(code: BrokerCallCode | KmsErrorCode): status {
  switch (code) {
    case "BadRequest":
    case "Validation":
    case "InvalidCiphertext":
    case "PayloadTooLarge":
      return status.INVALID_ARGUMENT;
    case "AuthenticationFailed":
    case "ClockSkew":
    case "NoIdentity":
      return status.UNAUTHENTICATED;
    case "AccessDenied":
    case "Revoked":
    case "SealedByAnotherCluster":
      return status.PERMISSION_DENIED;
    case "KeyUnavailable":
    case "EnvelopeTooLarge":
    // Of a ciphertext, most often: a later format's, or altered to look so. No fault of shim or broker.
    case "UnsupportedOperation":
      return status.FAILED_PRECONDITION;
    case "Throttled":
      return status.RESOURCE_EXHAUSTED;
    // Not UNIMPLEMENTED: to a gRPC client that would be the shim's own lack, and it is the broker's.
    case "NotFound":
    case "MethodNotAllowed":
    case "UnsupportedMediaType":
    case "Internal":
      return status.INTERNAL;
    case "NotReady":
    case "Unreachable":
    case "BadAnswer":
    case "DependencyTimeout":
    case "AuditUnavailable":
      return status.UNAVAILABLE;
    case "Timeout":
      return status.DEADLINE_EXCEEDED;
    case "Cancelled":
      return status.CANCELLED;
  }
}
