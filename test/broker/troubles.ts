import { bounded } from "../../src/kms/bounded.ts";
import type { KeyProvider, ProviderErrorCode } from "../../src/kms/key-provider.ts";
import { createFakeCloud, CLOUD_CALLS, type CloudView } from "./fake-cloud.ts";
import type { Member } from "./multi-member.ts";

/** Beyond it a member is slow; the others here answer at once, and have no such limit. */
const DEADLINE_MS = 20;
export const LYING_VERSION = "a-version-of-its-own";

/** What may be wrong with a member while something is sealed. */
export interface Trouble {
  readonly name: string;
  /** Whether its wrap counts all the same: then nobody can tell while sealing. */
  readonly counts: boolean;
  /** What the custody log says of it. */
  readonly result: string;
  /** Whether its version can still be read. */
  readonly readable: boolean;
  /** What the act is answered with if no other member is enough. */
  readonly refusal: readonly [status: number, code: string];
  readonly disguise: (member: Member, view: CloudView) => KeyProvider;
}

const DEPENDENCY = [503, "DependencyTimeout"] as const;

function failing(
  name: string,
  code: ProviderErrorCode,
  after: boolean,
  refusal: Trouble["refusal"] = DEPENDENCY,
): Trouble {
  const disguise: Trouble["disguise"] = (_member, view) => {
    for (const call of CLOUD_CALLS) view.faults.set(call, { code, after });
    return view.provider;
  };
  return { name, counts: false, result: code, readable: false, refusal, disguise };
}

type Lie = (real: KeyProvider, member: Member) => Partial<KeyProvider>;

function lying(
  name: string,
  result: string,
  lie: Lie,
  more: Partial<Pick<Trouble, "counts" | "refusal">> = {},
): Trouble {
  const disguise: Trouble["disguise"] = (member, { provider }) => ({ ...provider, ...lie(provider, member) });
  return { name, counts: false, result, readable: true, refusal: DEPENDENCY, disguise, ...more };
}

function hanging<T>(): Promise<T> {
  return new Promise(() => {});
}

export const TROUBLES: readonly Trouble[] = [
  failing("away", "Unavailable", false),
  failing("away after it has acted", "Unavailable", true),
  failing("throttled", "Throttled", false, [429, "Throttled"]),
  failing("disabled", "KeyUnavailable", false, [409, "KeyUnavailable"]),
  failing("forbidden", "AccessDenied", false),
  failing("refusing", "Refused", false),
  {
    name: "slow beyond its deadline",
    counts: false,
    result: "Timeout",
    readable: false,
    refusal: DEPENDENCY,
    disguise: (_member, { provider }) =>
      bounded(
        { ...provider, wrap: () => hanging(), unwrap: () => hanging(), currentVersion: () => hanging() },
        { deadlineMs: DEADLINE_MS },
      ),
  },
  lying("giving another key's wrap", "InvalidCiphertext", (_real, { cloud }) => {
    const other = createFakeCloud(cloud.kind, "other").from().provider;
    return { wrap: (...all) => other.wrap(...all) };
  }),
  lying("opening to something else", "unproven", (real) => ({
    unwrap: async (...all) => {
      const opened = await real.unwrap(...all);
      return {
        ...opened,
        plaintext: opened.plaintext.map((byte, index) => (index === 31 ? byte ^ 1 : byte)),
      };
    },
  })),
  lying("opening to something shorter", "unproven", (real) => ({
    unwrap: async (...all) => {
      const opened = await real.unwrap(...all);
      return { ...opened, plaintext: opened.plaintext.slice(0, 31) };
    },
  })),
  lying("giving a huge wrap", "unproven", (real) => ({
    wrap: async (...all) => ({ ...(await real.wrap(...all)), wrap: new Uint8Array(1_025) }),
  })),
  lying("giving an empty wrap", "unproven", (real) => ({
    wrap: async (...all) => ({ ...(await real.wrap(...all)), wrap: new Uint8Array(0) }),
  })),
  lying(
    "saying another version",
    "ok",
    (real) => ({
      wrap: async (...all) => ({ ...(await real.wrap(...all)), keyVersion: LYING_VERSION }),
      unwrap: async (...all) => ({ ...(await real.unwrap(...all)), keyVersion: LYING_VERSION }),
    }),
    { counts: true },
  ),
];
