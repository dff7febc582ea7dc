import { status as grpcStatus } from "@grpc/grpc-js";
import { describe, expect, it } from "vitest";

import { asProviderErrors, fromGoogleError, GoogleHttpError } from "../../src/kms/gcp-error.ts";
import { ProviderError, type ProviderErrorCode } from "../../src/kms/key-provider.ts";
import { GOOGLE_STATUS_NAMES, GoogleStatus, type GoogleStatusName } from "../emulators/google-status.ts";

const SECRETIVE = "projects/111122223333/locations/europe-west1/keyRings/ring/cryptoKeys/key";

/** As google-gax throws over gRPC: the number, and what the ErrorInfo says. */
const overGrpc = (status: GoogleStatusName, message = SECRETIVE, reason?: string) =>
  Object.assign(new Error(`${grpcStatus[status]} ${status}: ${message}`), {
    code: grpcStatus[status],
    details: message,
    reason,
  });
const overHttp = (status: GoogleStatusName, message = SECRETIVE, reason?: string) => {
  const error = new GoogleStatus(
    status,
    message,
    reason === undefined ? undefined : { reason, domain: "googleapis.com" },
  );
  return new GoogleHttpError(error.http, error.toJson());
};
const carriers = [
  { carrier: "gRPC", error: overGrpc },
  { carrier: "HTTP", error: overHttp },
];

const CODES: Record<GoogleStatusName, ProviderErrorCode> = {
  CANCELLED: "Unavailable",
  UNKNOWN: "Unavailable",
  INVALID_ARGUMENT: "Refused",
  DEADLINE_EXCEEDED: "Timeout",
  NOT_FOUND: "KeyUnavailable",
  ALREADY_EXISTS: "Refused",
  PERMISSION_DENIED: "AccessDenied",
  RESOURCE_EXHAUSTED: "Throttled",
  FAILED_PRECONDITION: "KeyUnavailable",
  ABORTED: "Unavailable",
  OUT_OF_RANGE: "Refused",
  UNIMPLEMENTED: "Refused",
  INTERNAL: "Unavailable",
  UNAVAILABLE: "Unavailable",
  DATA_LOSS: "Unavailable",
  UNAUTHENTICATED: "AccessDenied",
};

describe.each(carriers)("an error of Google's over $carrier", ({ error }) => {
  it.each(GOOGLE_STATUS_NAMES)("%s is what the table says, and says no more than its name", (status) => {
    const made = fromGoogleError("Encrypt", error(status));
    expect(made.code).toBe(CODES[status]);
    expect(made.message).toBe(`Google Cloud KMS Encrypt: ${status}`);
    expect(made.cause).toBeUndefined();
    expect(`${JSON.stringify(made)} ${made.stack}`).not.toMatch(/projects\/|111122223333/);
  });

  const argument: [message: string, code: ProviderErrorCode][] = [
    ["Decryption failed: the ciphertext is invalid.", "InvalidCiphertext"],
    ["Decryption failed: verify that 'name' refers to the correct CryptoKey.", "InvalidCiphertext"],
    ["Something new that Google says.", "InvalidCiphertext"],
    ["The checksum in field ciphertext_crc32c did not match the data in field ciphertext.", "Unavailable"],
    [
      "The checksum in field additional_authenticated_data_crc32c did not match the data in field additional_authenticated_data.",
      "Unavailable",
    ],
    [`${SECRETIVE} is not a valid resource type for this request.`, "Refused"],
    ["User project specified in the request is invalid.", "Refused"],
    ["The request concerns location 'a' but was sent to location 'b'.", "Refused"],
  ];
  it.each(argument)("INVALID_ARGUMENT to Decrypt that says %j is %s", (message, code) => {
    expect(fromGoogleError("Decrypt", error("INVALID_ARGUMENT", message)).code).toBe(code);
  });

  it("INVALID_ARGUMENT is never final to anything but Decrypt", () => {
    for (const [message] of argument) {
      for (const operation of ["Encrypt", "GetCryptoKey"] as const) {
        const { code } = fromGoogleError(operation, error("INVALID_ARGUMENT", message));
        expect(["Refused", "Unavailable"], message).toContain(code);
      }
    }
  });

  const reasons: [status: GoogleStatusName, reason: string, code: ProviderErrorCode][] = [
    ["INVALID_ARGUMENT", "API_KEY_INVALID", "AccessDenied"],
    ["PERMISSION_DENIED", "RATE_LIMIT_EXCEEDED", "Throttled"],
    ["RESOURCE_EXHAUSTED", "RESOURCE_QUOTA_EXCEEDED", "Throttled"],
    ["PERMISSION_DENIED", "SERVICE_DISABLED", "AccessDenied"],
    ["INVALID_ARGUMENT", "RESOURCE_PROJECT_INVALID", "Refused"],
  ];
  it.each(reasons)("%s with the reason %s is told by both, and is %s", (status, reason, code) => {
    const made = fromGoogleError("Decrypt", error(status, SECRETIVE, reason));
    expect(made).toMatchObject({ code, message: `Google Cloud KMS Decrypt: ${status}, ${reason}` });
  });

  it("does not tell a reason that is not one of Google's", () => {
    const made = fromGoogleError("Decrypt", error("PERMISSION_DENIED", "no", SECRETIVE));
    expect(made.message).toBe("Google Cloud KMS Decrypt: PERMISSION_DENIED");
  });
});

describe("an answer that is not Google's", () => {
  it.each([
    [302, "Unavailable"],
    [400, "Refused"],
    [401, "AccessDenied"],
    [403, "AccessDenied"],
    [404, "KeyUnavailable"],
    [408, "Timeout"],
    [429, "Throttled"],
    [499, "Refused"],
    [500, "Unavailable"],
    [502, "Unavailable"],
    [504, "Timeout"],
  ] satisfies [number, ProviderErrorCode][])("goes by its status: %i is %s", (status, code) => {
    for (const body of [
      undefined,
      "<html>",
      [],
      { error: "text" },
      { error: { status: 7, details: [null] } },
    ]) {
      const made = fromGoogleError("Decrypt", new GoogleHttpError(status, body));
      expect(made).toMatchObject({ code, message: `Google Cloud KMS Decrypt: HTTP ${status}` });
    }
  });

  it.each([undefined, null, "text", 7, new TypeError("fetch failed"), { code: "ECONNRESET" }, { code: 99 }])(
    "is Unavailable where nothing is known: %s",
    (error) => {
      expect(fromGoogleError("Decrypt", error)).toMatchObject({
        code: "Unavailable",
        message: "Google Cloud KMS Decrypt: no usable answer",
      });
    },
  );

  it("is Unavailable, not Throttled, where grpc-js found it too long", () => {
    const error = overGrpc("RESOURCE_EXHAUSTED", "Received message larger than max (70000 vs 65536)");
    expect(fromGoogleError("Decrypt", error).code).toBe("Unavailable");
  });
});

describe("a call", () => {
  const call = { signal: new AbortController().signal, requestId: "request-1" };

  it("keeps a ProviderError that it meets on the way, as of a token's source", async () => {
    const error = new ProviderError("Throttled", "no token");
    await expect(asProviderErrors("Encrypt", call, () => Promise.reject(error))).rejects.toBe(error);
  });

  it("is not made once its signal has ended, and is Timeout whatever ended it", async () => {
    const over = { ...call, signal: AbortSignal.abort(new ProviderError("Throttled", "another reason")) };
    let made = false;
    const act = async () => {
      made = true;
    };
    await expect(asProviderErrors("Encrypt", over, act)).rejects.toMatchObject({ code: "Timeout" });
    expect(made).toBe(false);
  });

  it("is Timeout when its signal ended it under way", async () => {
    const controller = new AbortController();
    const act = async () => {
      controller.abort();
      throw new ProviderError("Unavailable", "cut");
    };
    const ended = asProviderErrors("Encrypt", { ...call, signal: controller.signal }, act);
    await expect(ended).rejects.toMatchObject({ code: "Timeout" });
  });
});
