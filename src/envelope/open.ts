import { equalConstantTime } from "./bytes.ts";
import { decrypt } from "./cipher.ts";
import { W_BYTES, derive } from "./derive.ts";
import { EnvelopeError, invalidEnvelope } from "./envelope-error.ts";
import { decodeEnvelope } from "./envelope.ts";
import type { Envelope } from "./envelope.ts";
import { decodeHead } from "./head.ts";
import type { Head, HeadMember } from "./head.ts";
import { MemberFailure } from "./member.ts";
import type { EnvelopeMember, MemberReport, MemberUnwrap } from "./member.ts";
import type { Primitives } from "./primitives.ts";
import { webPrimitives } from "./web-primitives.ts";

/** An envelope that has been read, and what it says about itself. Nothing of it is proven yet. */
export interface SealedEnvelope {
  readonly parts: Envelope;
  readonly head: Head;
}

export interface OpenInput {
  readonly envelope: SealedEnvelope;
  readonly kek: string;
  /** Ids of the clusters whose envelopes are accepted: the caller's own, and those it may restore from. */
  readonly clusters: ReadonlySet<string>;
  /** Every configured member, `both` and `unwrap`, in the configuration's order. */
  readonly members: readonly EnvelopeMember[];
  readonly minThreshold: number;
  /** Accept envelopes without a symmetric wrap although the KEK has a symmetric member. */
  readonly allowRsaOnly: boolean;
}

export interface Opened {
  /** The caller's to zero. */
  readonly plaintext: Uint8Array<ArrayBuffer>;
  /** As written in the envelope. */
  readonly keyId: string | null;
  /** As written in the envelope; the context its wraps were made under. */
  readonly cluster: string;
  /** The member that opened it. */
  readonly member: { readonly name: string; readonly keyVersion?: string };
  /** Members asked before that one, in order; all of them unavailable. */
  readonly tried: readonly MemberReport[];
}

/** A configured member and its part of the envelope. */
interface Candidate {
  readonly member: EnvelopeMember;
  readonly part: HeadMember;
}

interface Unwrapped extends MemberUnwrap {
  readonly name: string;
  readonly tried: readonly MemberReport[];
}

/**
 * Reads an envelope without asking anybody.
 * @throws EnvelopeError `InvalidEnvelope` or `UnsupportedVersion`.
 */
export function readEnvelope(bytes: Uint8Array<ArrayBuffer>): SealedEnvelope {
  const parts = decodeEnvelope(bytes);
  return { parts, head: decodeHead(parts.head) };
}

/**
 * What an envelope says about itself.
 * @throws as {@link readEnvelope}.
 */
export function readHead(bytes: Uint8Array<ArrayBuffer>): Head {
  return readEnvelope(bytes).head;
}

/**
 * Opens an envelope. Everything that can be judged without a member is judged first.
 * @throws EnvelopeError.
 */
export async function open(input: OpenInput, primitives: Primitives = webPrimitives): Promise<Opened> {
  const { parts, head } = input.envelope;
  requireAcceptable(head, input);
  const candidates = candidatesOf(head, input);
  const { plaintext: w, name, keyVersion, tried } = await unwrapByFirst(candidates);
  try {
    const plaintext = await openUnder(w, parts, primitives);
    // Not passed on to the next member: a replayed wrap would else lead a forged RSA wrap past the symmetric ones.
    if (plaintext === undefined)
      throw invalidEnvelope("it was altered, or a member opened its wrap wrongly", tried);
    const member = { name, ...(keyVersion !== undefined && { keyVersion }) };
    return { plaintext, keyId: head.keyId, cluster: head.cluster, member, tried };
  } finally {
    w.fill(0);
  }
}

function requireAcceptable(head: Head, { kek, clusters, minThreshold }: OpenInput): void {
  if (head.kek !== kek) throw invalidEnvelope("it was sealed under another KEK");
  if (!clusters.has(head.cluster)) {
    throw new EnvelopeError("SealedByAnotherCluster", "the envelope was sealed by another cluster");
  }
  if (head.threshold < minThreshold) {
    throw new EnvelopeError("ThresholdTooLow", "the envelope needs fewer members than the KEK demands");
  }
  if (head.threshold !== 1) {
    throw new EnvelopeError("UnsupportedOperation", "opening by more than one member at a time is not built");
  }
}

/** Whom to ask, in order: symmetric members first, then the configuration's order, which the sealer cannot choose. */
function candidatesOf(head: Head, { members, allowRsaOnly }: OpenInput): readonly Candidate[] {
  const parts = new Map(head.members.map((part) => [part.name, part]));
  const known = members.flatMap((member) => {
    const part = parts.get(member.name);
    return part === undefined ? [] : [{ member, part }];
  });
  if (known.length === 0) {
    throw new EnvelopeError("UnknownMembers", "none of the envelope's members is configured any more");
  }
  const symmetric = known.filter(({ member }) => member.symmetric);
  if (symmetric.length === 0 && !allowRsaOnly && members.some((member) => member.symmetric)) {
    throw new EnvelopeError(
      "RsaOnly",
      "the envelope has no wrap of a symmetric member, so it proves no origin",
    );
  }
  return [...symmetric, ...known.filter(({ member }) => !member.symmetric)];
}

/**
 * Asks one after the other; only unavailability leads to the next. What a symmetric member did not take may have been
 * written so that it would not: another symmetric member may then be asked, but none whose wraps anyone can make.
 */
async function unwrapByFirst(candidates: readonly Candidate[]): Promise<Unwrapped> {
  const tried: MemberReport[] = [];
  let steered = false;
  for (const { member, part } of candidates) {
    if (steered && !member.symmetric) break;
    const answer = await unwrapBy(member, part);
    if (!(answer instanceof MemberFailure)) return { ...answer, name: member.name, tried };
    tried.push({ name: member.name, failure: answer });
    if (answer.final) throw invalidEnvelope("a member refused its wrap", tried);
    steered ||= member.symmetric && answer.unclear;
  }
  throw new EnvelopeError("Unavailable", "none of the envelope's members could be reached", tried);
}

async function unwrapBy(member: EnvelopeMember, part: HeadMember): Promise<MemberUnwrap | MemberFailure> {
  try {
    return await member.unwrap(part.wrap, part.openVersion);
  } catch (error) {
    if (error instanceof MemberFailure) return error;
    throw error;
  }
}

async function openUnder(
  w: Uint8Array<ArrayBuffer>,
  { head, commitment, ciphertext }: Envelope,
  primitives: Primitives,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (w.length !== W_BYTES) return undefined;
  const derived = await derive(w, head, primitives);
  if (!equalConstantTime(derived.commitment, commitment)) return undefined;
  return decrypt(derived.key, head, ciphertext);
}
