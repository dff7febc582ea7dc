import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { type KeyProvider, ProviderError, type ProviderErrorCode } from "../../src/kms/key-provider.ts";
import { awsError } from "../emulators/aws-fault-proxy.ts";
import type { Reply } from "../emulators/loopback-server.ts";
import { answer, CREDENTIALS, type FakeAws, KEY_ARN, startFakeAws } from "./fake-aws.ts";

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const SECRET = new Uint8Array(32).fill(7);
const CREATED = Date.UTC(2026, 0, 31, 12) / 1000;
const CREATED_VERSION = "created-2026-01-31T12:00:00.000Z";
const MATERIAL = "0b7fd7ddbac6eef27907413567cad8c810e2883dc8a7534067a82ee1142fc1e6";

let aws: FakeAws;
let provider: KeyProvider;

beforeAll(async () => {
  aws = await startFakeAws();
});
afterAll(() => aws.close());
beforeEach(() => {
  provider = createAwsProvider({ keyArn: KEY_ARN, endpoint: aws.url, credentials: CREDENTIALS });
});

const call = () => ({ signal: AbortSignal.timeout(10_000), requestId: "request-1" });
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString("base64");
const encrypted = () => answer({ KeyId: KEY_ARN, CiphertextBlob: base64(SECRET) });
const decrypted = (more: object = {}) => answer({ KeyId: KEY_ARN, Plaintext: base64(SECRET), ...more });
const described = (more: object = {}) =>
  answer({ KeyMetadata: { KeyId: "1", Arn: KEY_ARN, CreationDate: CREATED, KeyState: "Enabled", ...more } });

async function failure(act: Promise<unknown>): Promise<ProviderError> {
  const error = await act.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof ProviderError))
    throw new Error("not refused with a ProviderError", { cause: error });
  return error;
}

describe("what AWS is asked", () => {
  it("binds KEK and cluster, and names the key, when it encrypts and when it decrypts", async () => {
    aws.script(encrypted(), decrypted({ KeyMaterialId: MATERIAL }));
    const { wrap } = await provider.wrap(SECRET, CONTEXT, call());
    await provider.unwrap(wrap, CONTEXT, call());

    const bound = {
      KeyId: KEY_ARN,
      EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
      EncryptionContext: { "kek-broker.dev/kek": "prod-secrets", "kek-broker.dev/cluster": "prod-eu-1" },
    };
    expect(aws.requests.slice(-2)).toStrictEqual([
      { operation: "Encrypt", body: { ...bound, Plaintext: base64(SECRET) } },
      { operation: "Decrypt", body: { ...bound, CiphertextBlob: base64(wrap) } },
    ]);
  });

  it("asks once: retries are the broker's", async () => {
    aws.script(awsError(500, "KMSInternalException"));
    const before = aws.requests.length;
    await failure(provider.wrap(SECRET, CONTEXT, call()));
    expect(aws.requests.length - before).toBe(1);
  });

  it("hands on the cloud's id of each call", async () => {
    aws.script(encrypted(), decrypted({ KeyMaterialId: MATERIAL }));
    const wrapped = await provider.wrap(SECRET, CONTEXT, call());
    expect(wrapped.cloudRequestId).toBe("cloud-request-1");
    const unwrapped = await provider.unwrap(wrapped.wrap, CONTEXT, call());
    expect(unwrapped.cloudRequestId).toBe("cloud-request-1");
  });
});

describe("which version it was", () => {
  it("is the id of the key material where AWS names it", async () => {
    aws.script(described({ CurrentKeyMaterialId: MATERIAL }), decrypted({ KeyMaterialId: MATERIAL }));
    expect(await provider.currentVersion(call())).toBe(MATERIAL);
    expect((await provider.unwrap(SECRET, CONTEXT, call())).keyVersion).toBe(MATERIAL);
  });

  it("is the key's creation date where it names none, asked for once", async () => {
    aws.script(described(), decrypted(), decrypted());
    expect(await provider.currentVersion(call())).toBe(CREATED_VERSION);
    expect((await provider.unwrap(SECRET, CONTEXT, call())).keyVersion).toBe(CREATED_VERSION);
    expect((await provider.unwrap(SECRET, CONTEXT, call())).keyVersion).toBe(CREATED_VERSION);
    expect(aws.requests.slice(-3).map(({ operation }) => operation)).toStrictEqual([
      "DescribeKey",
      "Decrypt",
      "Decrypt",
    ]);
  });

  it("is the creation date in both places when only DescribeKey names the material", async () => {
    const named = described({ CurrentKeyMaterialId: MATERIAL });
    aws.script(decrypted(), named, named);
    expect((await provider.unwrap(SECRET, CONTEXT, call())).keyVersion).toBe(CREATED_VERSION);
    expect(await provider.currentVersion(call())).toBe(CREATED_VERSION);
  });

  it("is what Decrypt named, in both places, when only Decrypt names the material", async () => {
    aws.script(decrypted({ KeyMaterialId: MATERIAL }), described());
    expect((await provider.unwrap(SECRET, CONTEXT, call())).keyVersion).toBe(MATERIAL);
    expect(await provider.currentVersion(call())).toBe(MATERIAL);
  });

  it.each([
    "Disabled",
    "PendingDeletion",
    "PendingImport",
    "PendingReplicaDeletion",
    "Unavailable",
    "Creating",
  ])("is not told of a key that is %s", async (KeyState) => {
    aws.script(described({ KeyState }));
    expect((await failure(provider.currentVersion(call()))).code).toBe("KeyUnavailable");
  });
});

describe("an answer that cannot be right", () => {
  it("is refused when another key opened the wrap", async () => {
    aws.script(decrypted({ KeyId: KEY_ARN.replace("1234abcd", "4321dcba"), KeyMaterialId: MATERIAL }));
    expect((await failure(provider.unwrap(SECRET, CONTEXT, call()))).code).toBe("InvalidCiphertext");
  });

  it.each(["x".repeat(70_000), "", "a b", 1, {}])(
    "is Unavailable when it names a material that no id of one looks like",
    async (material) => {
      aws.script(
        decrypted({ KeyMaterialId: material }),
        described({ CurrentKeyMaterialId: material }),
        described({ CreationDate: 1e300 }),
      );
      expect((await failure(provider.unwrap(SECRET, CONTEXT, call()))).code).toBe("Unavailable");
      expect((await failure(provider.currentVersion(call()))).code).toBe("Unavailable");
      expect((await failure(provider.currentVersion(call()))).code).toBe("Unavailable");
    },
  );

  it.each([
    { what: "Encrypt without a ciphertext", act: () => provider.wrap(SECRET, CONTEXT, call()) },
    { what: "Decrypt without a plaintext", act: () => provider.unwrap(SECRET, CONTEXT, call()) },
    { what: "DescribeKey without metadata", act: () => provider.currentVersion(call()) },
  ])("is Unavailable: $what", async ({ act }) => {
    aws.script(answer({ KeyId: KEY_ARN }));
    expect(await failure(act())).toMatchObject({ code: "Unavailable", cloudRequestId: "cloud-request-1" });
  });
});

describe("an error of AWS", () => {
  const named: [name: string, status: number, code: ProviderErrorCode][] = [
    ["InvalidCiphertextException", 400, "InvalidCiphertext"],
    ["IncorrectKeyException", 400, "InvalidCiphertext"],
    ["DisabledException", 400, "KeyUnavailable"],
    ["KMSInvalidStateException", 400, "KeyUnavailable"],
    ["NotFoundException", 400, "KeyUnavailable"],
    ["KeyUnavailableException", 500, "KeyUnavailable"],
    ["InvalidKeyUsageException", 400, "KeyUnavailable"],
    ["ThrottlingException", 400, "Throttled"],
    ["LimitExceededException", 400, "Throttled"],
    ["AccessDeniedException", 400, "AccessDenied"],
    ["UnrecognizedClientException", 400, "AccessDenied"],
    ["ExpiredTokenException", 400, "AccessDenied"],
    ["InvalidSignatureException", 400, "AccessDenied"],
    ["KMSInternalException", 500, "Unavailable"],
    ["DependencyTimeoutException", 500, "Unavailable"],
    ["ServiceUnavailableException", 503, "Unavailable"],
    ["IDPCommunicationErrorException", 400, "Unavailable"],
    ["RequestTimeoutException", 400, "Unavailable"],
    ["ValidationException", 400, "Refused"],
    // Names of tomorrow go by their status.
    ["SomethingNewException", 400, "Refused"],
    ["SomethingNewException", 499, "Refused"],
    ["SomethingNewException", 408, "Timeout"],
    ["SomethingNewException", 403, "AccessDenied"],
    ["SomethingNewException", 404, "KeyUnavailable"],
    ["SomethingNewException", 429, "Throttled"],
    ["constructor", 500, "Unavailable"],
  ];

  it.each(named)("%s (%i) is %s", async (name, status, code) => {
    aws.script(awsError(status, name));
    expect((await failure(provider.unwrap(SECRET, CONTEXT, call()))).code).toBe(code);
  });

  const page = (status: number): Reply => ({
    status,
    headers: { "content-type": "text/html" },
    body: "<html>",
  });
  it.each([
    { what: "a page of a load balancer", reply: page(502), code: "Unavailable" },
    { what: "a page that denies", reply: page(403), code: "AccessDenied" },
    { what: "a cut connection", reply: "reset", code: "Unavailable" },
  ] satisfies { what: string; reply: Reply; code: ProviderErrorCode }[])(
    "$what is $code",
    async ({ reply, code }) => {
      aws.script(reply);
      expect((await failure(provider.wrap(SECRET, CONTEXT, call()))).code).toBe(code);
    },
  );

  it("leaves as a code, its own name and the request id, and nothing else", async () => {
    aws.script(awsError(400, "AccessDeniedException", "cloud-request-9"));
    const error = await failure(provider.wrap(SECRET, CONTEXT, call()));
    expect(error.message).toBe("AWS KMS Encrypt: AccessDeniedException");
    expect(error.cloudRequestId).toBe("cloud-request-9");
    expect(error.cause).toBeUndefined();
    expect(`${JSON.stringify(error)} ${error.stack}`).not.toMatch(/arn:|111122223333|127\.0\.0\.1/);
  });

  it("is not told by a name that is not one of ours", async () => {
    aws.script(awsError(400, "arn:aws:kms:us-east-1:111122223333:key/some-key"));
    const error = await failure(provider.wrap(SECRET, CONTEXT, call()));
    expect(error.message).toBe("AWS KMS Encrypt: HTTP 400");
  });
});

describe("without an answer", () => {
  it("ends at the call's signal with Timeout, and the next call works", async () => {
    const controller = new AbortController();
    aws.script("silence", encrypted());
    const before = aws.requests.length;
    const ended = failure(
      provider.wrap(SECRET, CONTEXT, { signal: controller.signal, requestId: "request-1" }),
    );
    await vi.waitUntil(() => aws.requests.length > before, { interval: 5 });
    controller.abort();
    expect((await ended).code).toBe("Timeout");
    await expect(provider.wrap(SECRET, CONTEXT, call())).resolves.toBeDefined();
  });

  it("is Timeout too, not a lost connection, when the call's time was up before it began", async () => {
    const signal = AbortSignal.abort(new DOMException("The operation was aborted", "TimeoutError"));
    const error = await failure(provider.wrap(SECRET, CONTEXT, { signal, requestId: "request-1" }));
    expect(error.code).toBe("Timeout");
  });

  it("ends at the call's signal while the SDK waits for credentials, which knows no signal", async () => {
    const credentials = () => new Promise<never>(() => {});
    const waiting = createAwsProvider({ keyArn: KEY_ARN, endpoint: aws.url, credentials });
    const controller = new AbortController();
    const ended = failure(
      waiting.wrap(SECRET, CONTEXT, { signal: controller.signal, requestId: "request-1" }),
    );
    controller.abort();
    expect((await ended).code).toBe("Timeout");
  });

  it("is Unavailable when nobody listens", async () => {
    const gone = await startFakeAws();
    await gone.close();
    const lonely = createAwsProvider({ keyArn: KEY_ARN, endpoint: gone.url, credentials: CREDENTIALS });
    const error = await failure(lonely.wrap(SECRET, CONTEXT, call()));
    expect(error).toMatchObject({ code: "Unavailable", message: "AWS KMS Encrypt: no answer" });
  });

  it("is AccessDenied when the broker has no credentials of its own", async () => {
    const credentials = () =>
      Promise.reject(Object.assign(new Error(KEY_ARN), { name: "CredentialsProviderError" }));
    const anonymous = createAwsProvider({ keyArn: KEY_ARN, endpoint: aws.url, credentials });
    const error = await failure(anonymous.wrap(SECRET, CONTEXT, call()));
    expect(error).toMatchObject({
      code: "AccessDenied",
      message: "AWS KMS Encrypt: CredentialsProviderError",
    });
  });
});
