import { MAX_CIPHERTEXT_BYTES, MAX_PLAINTEXT_BYTES, MIN_PLAINTEXT_BYTES } from "../wire/limits.ts";
import { equalConstantTime } from "./bytes.ts";
import { encrypt } from "./cipher.ts";
import { W_BYTES, derive } from "./derive.ts";
import { EnvelopeError } from "./envelope-error.ts";
import { encodeEnvelope } from "./envelope.ts";
import { MAX_WRAP_BYTES, OPEN_VERSION_BYTES, encodeHead } from "./head.ts";
import type { HeadMember } from "./head.ts";
import { MemberFailure } from "./member.ts";
import type { EnvelopeMember, MemberReport, MemberWrap } from "./member.ts";
import type { Primitives } from "./primitives.ts";
import { webPrimitives } from "./web-primitives.ts";

export interface SealInput {
  readonly kek: string;
  /** The cluster's `id`. */
  readonly cluster: string;
  /** How many members must agree to open; only 1 is built. */
  readonly threshold: number;
  /** How many members must have wrapped, provably. */
  readonly wrapQuorum: number;
  /** Those with `use: both`, in the configuration's order. */
  readonly members: readonly EnvelopeMember[];
  /** 1 to 256 bytes. The caller's to zero. */
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** The key id for the versions used, by member name; null when it cannot be known. */
  keyIdOf(used: ReadonlyMap<string, string>): Promise<string | null> | string | null;
  /** Cryptographically random bytes. */
  random(bytes: number): Uint8Array<ArrayBuffer>;
}

export interface Sealed {
  readonly envelope: Uint8Array<ArrayBuffer>;
  readonly keyId: string | null;
  /** Version by name of each member in the envelope. */
  readonly used: ReadonlyMap<string, string>;
  /** Members that are not in the envelope, and why. */
  readonly missing: readonly MemberReport[];
}

/** A member whose wrap was opened again and gave W. */
interface Proven {
  readonly member: EnvelopeMember;
  readonly made: MemberWrap;
  readonly keyVersion: string;
}

/**
 * Seals a DEK so that `threshold` of the members can open it.
 * @throws EnvelopeError `Unavailable` when too few members wrapped, `UnsupportedOperation` for a threshold above 1.
 * @throws TypeError when the input breaks the format's own rules.
 */
export async function seal(input: SealInput, primitives: Primitives = webPrimitives): Promise<Sealed> {
  if (input.threshold !== 1) {
    throw new EnvelopeError(
      "UnsupportedOperation",
      "sealing for more than one member at a time is not built",
    );
  }
  if (input.plaintext.length < MIN_PLAINTEXT_BYTES || input.plaintext.length > MAX_PLAINTEXT_BYTES) {
    throw new TypeError(`an envelope holds ${MIN_PLAINTEXT_BYTES} to ${MAX_PLAINTEXT_BYTES} bytes`);
  }
  const w = input.random(W_BYTES);
  if (w.length !== W_BYTES) throw new TypeError(`random gave ${w.length} bytes, not ${W_BYTES}`);
  try {
    const { proven, missing } = await wrapByAll(input.members, w);
    requireQuorum(input, proven, missing);
    const used = new Map(proven.map(({ member, keyVersion }) => [member.name, keyVersion]));
    const keyId = await input.keyIdOf(used);
    const members = proven.map(toHeadMember);
    const head = encodeHead({ kek: input.kek, cluster: input.cluster, keyId, threshold: 1, members });
    return { envelope: await sealUnder(w, head, input.plaintext, primitives), keyId, used, missing };
  } finally {
    w.fill(0);
  }
}

async function sealUnder(
  w: Uint8Array<ArrayBuffer>,
  head: Uint8Array<ArrayBuffer>,
  plaintext: Uint8Array<ArrayBuffer>,
  primitives: Primitives,
): Promise<Uint8Array<ArrayBuffer>> {
  const { key, commitment } = await derive(w, head, primitives);
  const envelope = encodeEnvelope({ head, commitment, ciphertext: await encrypt(key, head, plaintext) });
  if (envelope.length > MAX_CIPHERTEXT_BYTES) {
    throw new EnvelopeError(
      "UnsupportedOperation",
      `an envelope of ${envelope.length} bytes could not be opened again (at most ${MAX_CIPHERTEXT_BYTES}): give the KEK fewer members or smaller keys`,
    );
  }
  return envelope;
}

/** Asks all at once and waits for each, so that W is not zeroed under a member still at work. */
async function wrapByAll(
  members: readonly EnvelopeMember[],
  w: Uint8Array<ArrayBuffer>,
): Promise<{ proven: readonly Proven[]; missing: readonly MemberReport[] }> {
  const proven: Proven[] = [];
  const missing: MemberReport[] = [];
  const settled = await Promise.allSettled(members.map((member) => wrapAndProve(member, w)));
  for (const [index, result] of settled.entries()) {
    if (result.status === "fulfilled") proven.push(result.value);
    else if (result.reason instanceof MemberFailure) {
      missing.push({ name: members[index]?.name ?? "", failure: result.reason });
    } else throw result.reason;
  }
  return { proven, missing };
}

/**
 * A wrap counts once the same member has opened it to W: that shows its Decrypt right. The version used is what the
 * opening says, else what the wrapping said.
 */
async function wrapAndProve(member: EnvelopeMember, w: Uint8Array<ArrayBuffer>): Promise<Proven> {
  const own = w.slice();
  try {
    const made = await member.wrap(own);
    requireFitting(made);
    const opened = await member.unwrap(made.wrap, made.openVersion);
    const same = equalConstantTime(opened.plaintext, w);
    opened.plaintext.fill(0);
    if (!same) throw new MemberFailure("its wrap does not open to what was wrapped", { final: true });
    const keyVersion = opened.keyVersion ?? made.keyVersion ?? "";
    if (keyVersion === "") throw new MemberFailure("it names no version of its key", { final: false });
    return { member, made, keyVersion };
  } finally {
    own.fill(0);
  }
}

function requireFitting({ wrap, openVersion }: MemberWrap): void {
  if (wrap.length < 1 || wrap.length > MAX_WRAP_BYTES) {
    throw new MemberFailure(`its wrap has ${wrap.length} bytes, not 1 to ${MAX_WRAP_BYTES}`, {
      final: false,
    });
  }
  if (openVersion !== undefined && openVersion.length !== OPEN_VERSION_BYTES) {
    throw new MemberFailure(`its version has not ${OPEN_VERSION_BYTES} bytes`, { final: false });
  }
}

function requireQuorum(
  { members, threshold, wrapQuorum }: SealInput,
  proven: readonly Proven[],
  missing: readonly MemberReport[],
): void {
  const needed = Math.max(threshold, wrapQuorum);
  if (proven.length < needed) {
    const message = `${proven.length} of ${members.length} members wrapped, ${needed} are needed`;
    throw new EnvelopeError("Unavailable", message, missing);
  }
  // Opening would refuse an envelope of RSA wraps alone.
  if (members.some((member) => member.symmetric) && !proven.some(({ member }) => member.symmetric)) {
    throw new EnvelopeError("Unavailable", "no symmetric member wrapped, at least one is needed", missing);
  }
}

function toHeadMember({ member, made }: Proven): HeadMember {
  const { wrap, openVersion } = made;
  return { name: member.name, share: 0, ...(openVersion && { openVersion }), wrap };
}
