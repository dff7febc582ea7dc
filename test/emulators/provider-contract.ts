import { randomBytes } from "node:crypto";

import { describe, expect, it } from "vitest";

import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type ProviderErrorCode,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "../../src/kms/key-provider.ts";
import { MAX_WRAPPABLE_BYTES } from "../../src/kms/wrappable.ts";

/**
 * `slow` does what was asked and answers late, but in time; `silent` never answers; `brokenBefore` answers 5xx without
 * having done anything, `brokenAfter` although it was done.
 */
export type ContractFault =
  | "throttled"
  | "denied"
  | "slow"
  | "silent"
  | "brokenBefore"
  | "brokenAfter"
  | "reset";

/**
 * A kind of key under test. What a provider's server cannot do is left out, and its tests with it: each suite's list
 * of tests says what was shown against which server.
 */
export interface ProviderSubject<Key> {
  readonly newKey: () => Promise<Key>;
  /** A provider that has not been used; called again for a key, it forgets what the last one had learnt. */
  readonly open: (key: Key) => KeyProvider;
  /** AES key wrap (RFC 3394) makes the same wrap of the same bytes: by its standard fit for keys, which do not repeat. */
  readonly deterministic?: boolean;
  /** New material for the key; returns what to open from then on. */
  readonly rotate?: (key: Key) => Promise<Key>;
  readonly disable?: (key: Key) => Promise<void>;
  readonly enable?: (key: Key) => Promise<void>;
  readonly scheduleDeletion?: (key: Key) => Promise<void>;
  /** Where versions have states of their own: takes away what wrapped before the last rotation, and nothing else. */
  readonly disableOlder?: (key: Key) => Promise<void>;
  readonly destroyOlder?: (key: Key) => Promise<void>;
  /** Takes all rights to the key from the identity that the provider has. */
  readonly forbid?: (key: Key) => Promise<void>;
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
const unwrap = (
  provider: KeyProvider,
  { wrap, openVersion }: WrapResult,
  context: WrapContext = CONTEXT,
): Promise<UnwrapResult> => provider.unwrap(wrap, context, call(), openVersion);
/** As the envelope takes it: what the unwrap says, else what the wrap said. */
const versionUsed = (made: WrapResult, opened: UnwrapResult) => opened.keyVersion ?? made.keyVersion;

/** What every KeyProvider promises, asked of each server that can show it. */
export function describeProviderContract<Key>(name: string, subject: ProviderSubject<Key>): void {
  describe(`${name}, as every provider`, () => {
    describeWrapping(subject);
    describeFreshness(subject);
    if (subject.rotate !== undefined) describeRotation(subject, subject.rotate);
    describeUnusableKeys(subject);
    describeEnabling(subject);
    describeForbidding(subject);
    if (subject.inject !== undefined) describeFaults(subject, subject.inject);
  });
}

function describeWrapping<Key>(subject: ProviderSubject<Key>): void {
  const opened = async () => subject.open(await subject.newKey());

  it.each([1, 32, 33, MAX_WRAPPABLE_BYTES])("opens what it wrapped: %i bytes", async (length) => {
    const provider = await opened();
    const plaintext = secret(length);
    const made = await provider.wrap(plaintext, CONTEXT, call());
    expect((await unwrap(provider, made)).plaintext).toStrictEqual(plaintext);
    expect(made.openVersion?.length).toBe(provider.needsVersionToUnwrap ? 16 : undefined);
  });

  it.each([0, MAX_WRAPPABLE_BYTES + 1])(
    "refuses to wrap %i bytes, as the caller's mistake",
    async (length) => {
      const provider = await opened();
      await expect(provider.wrap(secret(length), CONTEXT, call())).rejects.toThrow(RangeError);
    },
  );

  it.each([
    { what: "another KEK", context: { ...CONTEXT, kek: "other-secrets" } },
    { what: "another cluster", context: { ...CONTEXT, cluster: "prod-eu-2" } },
    { what: "names run together differently", context: { kek: "prod-secretsprod", cluster: "-eu-1" } },
    { what: "names swapped", context: { kek: CONTEXT.cluster, cluster: CONTEXT.kek } },
  ])("refuses a wrap under $what for good", async ({ context }) => {
    const provider = await opened();
    const made = await provider.wrap(secret(), CONTEXT, call());
    await expect(refusal(unwrap(provider, made, context))).resolves.toBe("InvalidCiphertext");
  });

  it("refuses a tampered wrap for good", async () => {
    const provider = await opened();
    const made = await provider.wrap(secret(), CONTEXT, call());
    made.wrap[made.wrap.length - 1]! ^= 1;
    await expect(refusal(unwrap(provider, made))).resolves.toBe("InvalidCiphertext");
  });

  it.each([0, 7000])("refuses a wrap of %i bytes for good", async (length) => {
    const provider = await opened();
    const made = await provider.wrap(secret(), CONTEXT, call());
    await expect(refusal(unwrap(provider, { ...made, wrap: new Uint8Array(length) }))).resolves.toBe(
      "InvalidCiphertext",
    );
  });

  it("names the version that wrapped as its current one", async () => {
    const provider = await opened();
    const before = await provider.currentVersion(call());
    const made = await provider.wrap(secret(), CONTEXT, call());
    expect(before).not.toBe("");
    expect(versionUsed(made, await unwrap(provider, made))).toBe(before);
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
    await expect(refusal(provider.unwrap(secret(184), CONTEXT, over, secret(16)))).resolves.toBe("Timeout");
    await expect(refusal(provider.currentVersion(over))).resolves.toBe("Timeout");
  });
}

function describeFreshness<Key>(subject: ProviderSubject<Key>): void {
  if (subject.deterministic === true) return;
  it("never wraps the same bytes to the same wrap", async () => {
    const provider = subject.open(await subject.newKey());
    const plaintext = secret();
    const first = await provider.wrap(plaintext, CONTEXT, call());
    const second = await provider.wrap(plaintext, CONTEXT, call());
    expect(first.wrap).not.toStrictEqual(second.wrap);
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
    const made = await rotated.wrap(secret(), CONTEXT, call());
    expect(versionUsed(made, await unwrap(rotated, made))).toBe(second);
    const opened = await unwrap(rotated, old);
    expect(opened.plaintext).toStrictEqual(plaintext);
    expect(versionUsed(old, opened)).toBe(first);
    expect(await rotated.currentVersion(call())).toBe(second);
  });

  const withdrawn = [
    { what: "disabled", withdraw: subject.disableOlder },
    { what: "destroyed", withdraw: subject.destroyOlder },
  ];
  for (const { what, withdraw } of withdrawn) {
    if (withdraw === undefined) continue;
    it(`says KeyUnavailable for a wrap whose version is ${what}, and goes on with the newer one`, async () => {
      const key = await subject.newKey();
      const old = await subject.open(key).wrap(secret(), CONTEXT, call());
      const rotated = await rotate(key);
      const provider = subject.open(rotated);
      const plaintext = secret();
      const made = await provider.wrap(plaintext, CONTEXT, call());
      await withdraw(rotated);
      await expect(refusal(unwrap(provider, old))).resolves.toBe("KeyUnavailable");
      expect((await unwrap(provider, made)).plaintext).toStrictEqual(plaintext);
      expect(
        (await unwrap(provider, await provider.wrap(plaintext, CONTEXT, call()))).plaintext,
      ).toStrictEqual(plaintext);
      expect(await provider.currentVersion(call())).toBe(versionUsed(made, await unwrap(provider, made)));
    });
  }
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
      const made = await provider.wrap(secret(), CONTEXT, call());
      await make(key);
      await expect(refusal(provider.wrap(secret(), CONTEXT, call()))).resolves.toBe("KeyUnavailable");
      await expect(refusal(provider.currentVersion(call()))).resolves.toBe("KeyUnavailable");
      await expect(refusal(unwrap(provider, made))).resolves.toBe("KeyUnavailable");
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

function describeEnabling<Key>(subject: ProviderSubject<Key>): void {
  const { disable, enable } = subject;
  if (disable === undefined || enable === undefined) return;
  it("works again, under the same version, when a disabled key is enabled", async () => {
    const key = await subject.newKey();
    const provider = subject.open(key);
    const plaintext = secret();
    const made = await provider.wrap(plaintext, CONTEXT, call());
    const before = await provider.currentVersion(call());
    await disable(key);
    await expect(refusal(unwrap(provider, made))).resolves.toBe("KeyUnavailable");
    await enable(key);
    expect((await unwrap(provider, made)).plaintext).toStrictEqual(plaintext);
    expect(await provider.currentVersion(call())).toBe(before);
  });
}

function describeForbidding<Key>(subject: ProviderSubject<Key>): void {
  const { forbid } = subject;
  if (forbid === undefined) return;
  it("says AccessDenied for a key that its identity has no rights to", async () => {
    const key = await subject.newKey();
    const provider = subject.open(key);
    const made = await provider.wrap(secret(), CONTEXT, call());
    await forbid(key);
    await expect(refusal(provider.wrap(secret(), CONTEXT, call()))).resolves.toBe("AccessDenied");
    await expect(refusal(unwrap(provider, made))).resolves.toBe("AccessDenied");
    await expect(refusal(provider.currentVersion(call()))).resolves.toBe("AccessDenied");
  });
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
      const made = await provider.wrap(plaintext, CONTEXT, call());

      inject(fault);
      await expect(refusal(unwrap(provider, made))).resolves.toBe(expected);
      expect((await unwrap(provider, made)).plaintext).toStrictEqual(plaintext);

      inject(fault);
      await expect(refusal(provider.currentVersion(call()))).resolves.toBe(expected);
      await expect(provider.currentVersion(call())).resolves.not.toBe("");
    },
  );

  it("waits for a slow answer while there is time", async () => {
    const provider = subject.open(await subject.newKey());
    const plaintext = secret();
    inject("slow");
    const made = await provider.wrap(plaintext, CONTEXT, call());
    inject("slow");
    expect((await unwrap(provider, made)).plaintext).toStrictEqual(plaintext);
    inject("slow");
    await expect(provider.currentVersion(call())).resolves.not.toBe("");
  });

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
  expect(`${error.message} ${error.stack}`).not.toMatch(/arn:|https?:|projects\/|vault\.azure|\d{12}/);
  expect(error.cause).toBeUndefined();
  return error.code;
}
