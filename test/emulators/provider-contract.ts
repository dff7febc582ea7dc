import { randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type ProviderErrorCode,
} from "../../src/kms/key-provider.ts";

type ContractFault = "throttled" | "denied" | "silent" | "brokenBefore" | "brokenAfter" | "reset";

/**
 * A kind of key under test. What a provider's server cannot do is left out, and its tests with it: each suite's list
 * of tests says what was shown against which server.
 */
export interface ProviderSubject<Key> {
  readonly newKey: () => Promise<Key>;
  /** A provider that has not been used; called again for a key, it forgets what the last one had learnt. */
  readonly open: (key: Key) => KeyProvider;
  /** New material for the key; returns what to open from then on. */
  readonly rotate?: (key: Key) => Promise<Key>;
  readonly disable?: (key: Key) => Promise<void>;
  readonly scheduleDeletion?: (key: Key) => Promise<void>;
  /** A key that was never made. */
  readonly unknownKey?: () => Key;
  /** The same key's name in a region where it is not. */
  readonly inAnotherRegion?: (key: Key) => Key;
  /** Makes the next request to the cloud go wrong. */
  readonly inject?: (fault: ContractFault) => void;
}

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
/** Ends a call that hangs, well inside the test's own time. */
const GENEROUS_MS = 10_000;
const SHORT_MS = 250;

const call = (ms = GENEROUS_MS): ProviderCall => ({
  signal: AbortSignal.timeout(ms),
  requestId: "request-1",
});
const secret = (length = 32) => new Uint8Array(randomBytes(length));

/** What every KeyProvider promises, asked of each server that can show it. */
export function describeProviderContract<Key>(name: string, subject: ProviderSubject<Key>): void {
  describe(`${name}, as every provider`, () => {
    describeWrapping(subject);
    if (subject.rotate !== undefined) describeRotation(subject, subject.rotate);
    describeUnusableKeys(subject);
    if (subject.inject !== undefined) describeFaults(subject, subject.inject);
  });
}

function describeWrapping<Key>(subject: ProviderSubject<Key>): void {
  const opened = async () => subject.open(await subject.newKey());

  it.each([1, 32, 256])("opens what it wrapped: %i bytes", async (length) => {
    const provider = await opened();
    const plaintext = secret(length);
    const { wrap, openVersion } = await provider.wrap(plaintext, CONTEXT, call());
    const result = await provider.unwrap(wrap, CONTEXT, call(), openVersion);
    expect(result.plaintext).toStrictEqual(plaintext);
    expect(openVersion === undefined).toBe(!provider.needsVersionToUnwrap);
  });

  it("never wraps the same bytes to the same wrap", async () => {
    const provider = await opened();
    const plaintext = secret();
    const first = await provider.wrap(plaintext, CONTEXT, call());
    const second = await provider.wrap(plaintext, CONTEXT, call());
    expect(first.wrap).not.toStrictEqual(second.wrap);
  });

  it.each([0, 257])("refuses to wrap %i bytes, as the caller's mistake", async (length) => {
    const provider = await opened();
    await expect(provider.wrap(secret(length), CONTEXT, call())).rejects.toThrow(RangeError);
  });

  it.each([
    { what: "another KEK", context: { ...CONTEXT, kek: "other-secrets" } },
    { what: "another cluster", context: { ...CONTEXT, cluster: "prod-eu-2" } },
    { what: "names run together differently", context: { kek: "prod-secretsprod", cluster: "-eu-1" } },
    { what: "names swapped", context: { kek: CONTEXT.cluster, cluster: CONTEXT.kek } },
  ])("refuses a wrap under $what for good", async ({ context }) => {
    const provider = await opened();
    const { wrap } = await provider.wrap(secret(), CONTEXT, call());
    await expect(refusal(provider.unwrap(wrap, context, call()))).resolves.toBe("InvalidCiphertext");
  });

  it("refuses a tampered wrap for good", async () => {
    const provider = await opened();
    const { wrap } = await provider.wrap(secret(), CONTEXT, call());
    wrap[wrap.length - 1]! ^= 1;
    await expect(refusal(provider.unwrap(wrap, CONTEXT, call()))).resolves.toBe("InvalidCiphertext");
  });

  it.each([0, 7000])("refuses a wrap of %i bytes for good", async (length) => {
    const provider = await opened();
    await expect(refusal(provider.unwrap(new Uint8Array(length), CONTEXT, call()))).resolves.toBe(
      "InvalidCiphertext",
    );
  });

  it("names the version that wrapped as its current one", async () => {
    const provider = await opened();
    const before = await provider.currentVersion(call());
    const { wrap } = await provider.wrap(secret(), CONTEXT, call());
    const { keyVersion } = await provider.unwrap(wrap, CONTEXT, call());
    expect(keyVersion).not.toBe("");
    expect(keyVersion).toBe(before);
    expect(await provider.currentVersion(call())).toBe(before);
  });

  it("names the same version after a restart", async () => {
    const key = await subject.newKey();
    const before = await subject.open(key).currentVersion(call());
    expect(await subject.open(key).currentVersion(call())).toBe(before);
  });

  it("says Timeout for a call that had ended before it began", async () => {
    const provider = await opened();
    const over = { signal: AbortSignal.abort(), requestId: "request-1" };
    await expect(refusal(provider.wrap(secret(), CONTEXT, over))).resolves.toBe("Timeout");
    await expect(refusal(provider.unwrap(secret(184), CONTEXT, over))).resolves.toBe("Timeout");
    await expect(refusal(provider.currentVersion(over))).resolves.toBe("Timeout");
  });
}

function describeRotation<Key>(subject: ProviderSubject<Key>, rotate: (key: Key) => Promise<Key>): void {
  it("shows a rotation in the current version, wraps under it, and still opens what is older", async () => {
    const key = await subject.newKey();
    const provider = subject.open(key);
    const plaintext = secret();
    const first = await provider.currentVersion(call());
    const old = await provider.wrap(plaintext, CONTEXT, call());

    const rotated = subject.open(await rotate(key));
    const second = await rotated.currentVersion(call());
    expect(second).not.toBe(first);
    const { wrap } = await rotated.wrap(secret(), CONTEXT, call());
    await expect(rotated.unwrap(wrap, CONTEXT, call())).resolves.toMatchObject({ keyVersion: second });
    await expect(rotated.unwrap(old.wrap, CONTEXT, call())).resolves.toMatchObject({
      plaintext,
      keyVersion: first,
    });
    expect(await rotated.currentVersion(call())).toBe(second);
  });
}

function describeUnusableKeys<Key>(subject: ProviderSubject<Key>): void {
  const unusable: { what: string; make: ((key: Key) => Promise<void>) | undefined }[] = [
    { what: "a disabled key", make: subject.disable },
    { what: "a key pending deletion", make: subject.scheduleDeletion },
  ];
  for (const { what, make } of unusable) {
    if (make === undefined) continue;
    it(`says KeyUnavailable for ${what}`, async () => {
      const key = await subject.newKey();
      const provider = subject.open(key);
      const { wrap } = await provider.wrap(secret(), CONTEXT, call());
      await make(key);
      await expect(refusal(provider.wrap(secret(), CONTEXT, call()))).resolves.toBe("KeyUnavailable");
      await expect(refusal(provider.currentVersion(call()))).resolves.toBe("KeyUnavailable");
      await expect(refusal(provider.unwrap(wrap, CONTEXT, call()))).resolves.toBe("KeyUnavailable");
    });
  }

  const missing = [
    { what: "a key that does not exist", key: subject.unknownKey },
    { what: "a key that is in another region", key: inAnotherRegionOf(subject) },
  ];
  for (const { what, key } of missing) {
    if (key === undefined) continue;
    it(`says KeyUnavailable for ${what}`, async () => {
      const provider = subject.open(await key());
      await expect(refusal(provider.wrap(secret(), CONTEXT, call()))).resolves.toBe("KeyUnavailable");
      await expect(refusal(provider.currentVersion(call()))).resolves.toBe("KeyUnavailable");
    });
  }
}

function inAnotherRegionOf<Key>({ newKey, inAnotherRegion }: ProviderSubject<Key>) {
  return inAnotherRegion && (async () => inAnotherRegion(await newKey()));
}

function describeFaults<Key>(subject: ProviderSubject<Key>, inject: (fault: ContractFault) => void): void {
  const faults: { fault: ContractFault; expected: ProviderErrorCode }[] = [
    { fault: "throttled", expected: "Throttled" },
    { fault: "denied", expected: "AccessDenied" },
    { fault: "brokenBefore", expected: "Unavailable" },
    { fault: "brokenAfter", expected: "Unavailable" },
    { fault: "reset", expected: "Unavailable" },
  ];

  it.each(faults)(
    "says $expected when a request is $fault, and the next one works",
    async ({ fault, expected }) => {
      const provider = subject.open(await subject.newKey());
      const plaintext = secret();

      inject(fault);
      await expect(refusal(provider.wrap(plaintext, CONTEXT, call()))).resolves.toBe(expected);
      const { wrap } = await provider.wrap(plaintext, CONTEXT, call());

      inject(fault);
      await expect(refusal(provider.unwrap(wrap, CONTEXT, call()))).resolves.toBe(expected);
      await expect(provider.unwrap(wrap, CONTEXT, call())).resolves.toMatchObject({ plaintext });

      inject(fault);
      await expect(refusal(provider.currentVersion(call()))).resolves.toBe(expected);
      await expect(provider.currentVersion(call())).resolves.not.toBe("");
    },
  );

  it("says Timeout at the call's deadline when nothing is answered, and the next one works", async () => {
    const provider = subject.open(await subject.newKey());
    const began = performance.now();
    inject("silent");
    await expect(refusal(provider.wrap(secret(), CONTEXT, call(SHORT_MS)))).resolves.toBe("Timeout");
    inject("silent");
    await expect(refusal(provider.currentVersion(call(SHORT_MS)))).resolves.toBe("Timeout");
    expect(performance.now() - began).toBeLessThan(GENEROUS_MS / 2);
    await expect(provider.wrap(secret(), CONTEXT, call())).resolves.toBeDefined();
  });
}

/** The code of the error, which holds nothing of the cloud's. */
async function refusal(act: Promise<unknown>): Promise<ProviderErrorCode> {
  const error = await act.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (!(error instanceof ProviderError))
    throw new Error("not refused with a ProviderError", { cause: error });
  expect(`${error.message} ${error.stack}`).not.toMatch(/arn:|http|\d{12}/);
  expect(error.cause).toBeUndefined();
  return error.code;
}
