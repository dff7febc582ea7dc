import { randomBytes } from "node:crypto";

import {
  ProviderError,
  type KeyProvider,
  type ProviderCall,
  type ProviderErrorCode,
  type UnwrapResult,
  type WrapContext,
} from "../../src/kms/key-provider.ts";

export type CloudCall = "wrap" | "unwrap" | "version";
export const CLOUD_CALLS: readonly CloudCall[] = ["wrap", "unwrap", "version"];

/** How a cloud fails a call: with this code, before or after it has done what it was asked. */
export interface CloudFault {
  readonly code: ProviderErrorCode;
  readonly after: boolean;
}

/** What a cloud shows of a rotation: all of it; nothing since some version; or now this, now that. */
export type Lag =
  | { readonly kind: "none" }
  | { readonly kind: "behind"; readonly at: string }
  | { readonly kind: "mixed"; readonly at: string };
export const NO_LAG: Lag = { kind: "none" };

/** How clouds differ, as far as an envelope can tell. Lengths were recorded: test/vectors/wrap-lengths.json. */
export const CLOUD_KINDS = {
  aws: { symmetric: true, opensByVersion: false, wrapBytes: 184, tells: "unwrap" },
  gcp: { symmetric: true, opensByVersion: false, wrapBytes: 114, tells: "wrap" },
  az: { symmetric: false, opensByVersion: true, wrapBytes: 256, tells: "both" },
  az3072: { symmetric: false, opensByVersion: true, wrapBytes: 384, tells: "both" },
  az4096: { symmetric: false, opensByVersion: true, wrapBytes: 512, tells: "both" },
  hsm: { symmetric: true, opensByVersion: true, wrapBytes: 80, tells: "both" },
} as const satisfies Record<string, CloudTraits>;
export type CloudKind = keyof typeof CLOUD_KINDS;

interface CloudTraits {
  readonly symmetric: boolean;
  readonly opensByVersion: boolean;
  readonly wrapBytes: number;
  /** Which answer names the version: Google's Encrypt alone, AWS' Decrypt alone, both of Azure's. */
  readonly tells: "wrap" | "unwrap" | "both";
}

interface Stored {
  readonly plaintext: Uint8Array<ArrayBuffer>;
  readonly context: string;
  readonly version: string;
}

/** One key in a made-up cloud: wraps are random handles to what it keeps, as long as the real cloud's. */
export interface FakeCloud {
  readonly kind: CloudKind;
  /** In the order they were made; the last is the newest. */
  readonly versions: readonly string[];
  /** The version that seals once all of the cloud agrees. */
  primary: string;
  rotate(): string;
  /** The key as seen from one place, with the faults and the lag of the way there. */
  from(): CloudView;
  /** The version that made a wrap. */
  versionOf(wrap: Uint8Array): string | undefined;
}

export interface CloudView {
  readonly provider: KeyProvider;
  readonly faults: Map<CloudCall, CloudFault>;
  reading: Lag;
  sealing: Lag;
  /** Every call that arrived. */
  readonly calls: CloudCall[];
}

export function createFakeCloud(kind: CloudKind, name: string = kind): FakeCloud {
  const stored = new Map<string, Stored>();
  const versions = [`${name}-1`];
  const cloud: FakeCloud = {
    kind,
    versions,
    primary: `${name}-1`,
    rotate: () => {
      const version = `${name}-${versions.length + 1}`;
      versions.push(version);
      cloud.primary = version;
      return version;
    },
    from: () => viewOf(cloud, stored),
    versionOf: (wrap) => stored.get(Buffer.from(wrap).toString("base64"))?.version,
  };
  return cloud;
}

function viewOf(cloud: FakeCloud, stored: Map<string, Stored>): CloudView {
  const traits: CloudTraits = CLOUD_KINDS[cloud.kind];
  let turns = 0;
  const seen = (lag: Lag): string => {
    if (lag.kind === "none") return cloud.primary;
    // In runs of one, two and three: two polls and a wrap now and then see the same.
    const isBehind = lag.kind === "behind" || [0, 2, 3, 6, 7, 8].includes(turns++ % 12);
    return isBehind ? lag.at : cloud.primary;
  };
  const act = async <T>(call: CloudCall, effect: () => T): Promise<T> => {
    view.calls.push(call);
    const fault = view.faults.get(call);
    if (fault === undefined) return effect();
    if (fault.after) effect();
    throw new ProviderError(fault.code, `fake: ${fault.code}`);
  };
  const provider: KeyProvider = {
    symmetric: traits.symmetric,
    needsVersionToUnwrap: traits.opensByVersion,
    maxWrapBytes: traits.wrapBytes,
    wrap: (plaintext, context, _call: ProviderCall) =>
      act("wrap", () => {
        const version = seen(view.sealing);
        const wrap = new Uint8Array(randomBytes(traits.wrapBytes));
        stored.set(Buffer.from(wrap).toString("base64"), {
          plaintext: plaintext.slice(),
          context: contextOf(context),
          version,
        });
        return {
          wrap,
          ...(traits.opensByVersion && { openVersion: openVersionOf(version) }),
          ...(traits.tells !== "unwrap" && { keyVersion: version }),
          cloudRequestId: "wrap",
        };
      }),
    unwrap: (wrap, context, _call, openVersion) =>
      act("unwrap", (): UnwrapResult => {
        const found = stored.get(Buffer.from(wrap).toString("base64"));
        const fits =
          found !== undefined &&
          found.context === contextOf(context) &&
          (!traits.opensByVersion || sameBytes(openVersion, openVersionOf(found.version)));
        if (!fits) throw new ProviderError("InvalidCiphertext", "fake: not a wrap of this key");
        return {
          plaintext: found.plaintext.slice(),
          ...(traits.tells !== "wrap" && { keyVersion: found.version }),
          cloudRequestId: "unwrap",
        };
      }),
    currentVersion: () => act("version", () => seen(view.reading)),
  };
  const view: CloudView = { provider, faults: new Map(), reading: NO_LAG, sealing: NO_LAG, calls: [] };
  return view;
}

function contextOf({ kek, cluster }: WrapContext): string {
  return JSON.stringify([kek, cluster]);
}

function openVersionOf(version: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(version.padEnd(16, ".").slice(-16)));
}

function sameBytes(one: Uint8Array | undefined, other: Uint8Array): boolean {
  return one !== undefined && Buffer.compare(one, other) === 0;
}
