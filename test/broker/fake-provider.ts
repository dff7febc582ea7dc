import {
  ProviderError,
  type KeyProvider,
  type ProviderCall,
  type ProviderErrorCode,
} from "../../src/kms/key-provider.ts";
import { localProvider } from "./fixture.ts";

type Fault = ProviderErrorCode | "hang" | "defect";
type Call = "wrap" | "unwrap" | "version";

/** A working key whose cloud can be made to fail, before or after it has done what it was asked. */
export interface FakeProvider extends KeyProvider {
  readonly calls: { call: Call; requestId: string }[];
  /** Per call; none by default. */
  faults: Partial<Record<Call, Fault>>;
  /** Whether a failing call still takes effect. */
  failsAfter: boolean;
  version: string;
  readonly calledFor: (call: Call) => number;
}

export function fakeProvider(fill = 1, more: Partial<Pick<KeyProvider, "maxWrapBytes">> = {}): FakeProvider {
  const real = localProvider("v1", fill);
  const act = async <T>(call: Call, options: ProviderCall, effect: () => Promise<T>): Promise<T> => {
    fake.calls.push({ call, requestId: options.requestId });
    const fault = fake.faults[call];
    if (fault === undefined) return effect();
    if (fake.failsAfter) await effect();
    if (fault === "defect") throw new TypeError("secret in a message: arn:aws:kms:eu-1:123456789012:key/x");
    if (fault === "hang") return new Promise<T>(() => {});
    throw new ProviderError(fault, `fake: ${fault}`, { cloudRequestId: `failed-${call}` });
  };
  const fake: FakeProvider = {
    symmetric: true,
    needsVersionToUnwrap: false,
    maxWrapBytes: more.maxWrapBytes ?? real.maxWrapBytes,
    calls: [],
    faults: {},
    failsAfter: false,
    version: "version-1",
    calledFor: (call) => fake.calls.filter((made) => made.call === call).length,
    wrap: (plaintext, context, options) =>
      act("wrap", options, async () => ({
        ...(await real.wrap(plaintext, context, options)),
        cloudRequestId: `wrap-${fake.calledFor("wrap")}`,
      })),
    unwrap: (wrap, context, options) =>
      act("unwrap", options, async () => ({
        ...(await real.unwrap(wrap, context, options)),
        keyVersion: fake.version,
        cloudRequestId: `unwrap-${fake.calledFor("unwrap")}`,
      })),
    currentVersion: (options) => act("version", options, async () => fake.version),
  };
  return fake;
}
