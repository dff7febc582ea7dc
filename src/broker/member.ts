import type { MemberOutcome } from "../audit/entry.ts";
import { MemberFailure, type EnvelopeMember, type MemberReport } from "../envelope/member.ts";
import {
  ProviderError,
  type KeyProvider,
  type ProviderErrorCode,
  type WrapContext,
} from "../kms/key-provider.ts";
import type { Metrics } from "./metrics.ts";

/** What members did during one act, for its outcome entry. */
export interface MemberTrace {
  readonly outcomes: () => readonly MemberOutcome[];
  readonly note: (member: string, done: CallNote) => void;
}

interface CallNote {
  readonly result: "ok" | "unfinished" | "unproven" | ProviderErrorCode;
  readonly keyVersion?: string | undefined;
  readonly cloudRequestId?: string | undefined;
}

export function createMemberTrace(): MemberTrace {
  const members = new Map<string, { result: string; keyVersion?: string; ids: string[] }>();
  return {
    note: (name, { result, keyVersion, cloudRequestId }) => {
      const entry = members.get(name) ?? { result, ids: [] };
      members.set(name, entry);
      entry.result = result;
      if (keyVersion !== undefined) entry.keyVersion = keyVersion;
      if (cloudRequestId !== undefined) entry.ids.push(cloudRequestId);
    },
    outcomes: () =>
      [...members].map(([name, { result, keyVersion, ids }]) => ({
        name,
        result,
        ...(keyVersion !== undefined && { keyVersion }),
        ...(ids.length > 0 && { cloudRequestIds: ids }),
      })),
  };
}

/** A member whose own calls all went well, and whose wrap still did not count. */
export function noteUnproven(trace: MemberTrace, failures: readonly MemberReport[]): void {
  for (const { name, failure } of failures) {
    if (!(failure.cause instanceof ProviderError)) trace.note(name, { result: "unproven" });
  }
}

/** Everything that the calls of one act have in common. */
export interface MemberCalls {
  readonly context: WrapContext;
  readonly signal: AbortSignal;
  readonly requestId: string;
  readonly trace: MemberTrace;
  readonly metrics: Metrics;
}

/** A provider as the envelope uses it, for one act: bound to its context and deadline, watched, errors translated. */
export function envelopeMember(name: string, provider: KeyProvider, calls: MemberCalls): EnvelopeMember {
  const { context, signal, requestId, trace } = calls;
  const onRetry = ({ cloudRequestId }: ProviderError): void =>
    trace.note(name, { result: "unfinished", cloudRequestId });
  const call = { signal, requestId, onRetry };
  const watched = <T extends { keyVersion?: string; cloudRequestId?: string }>(
    kind: "wrap" | "unwrap",
    made: () => Promise<T>,
  ): Promise<T> => watch(kind, name, calls, trace, made);
  return {
    name,
    symmetric: provider.symmetric,
    wrap: (w) => watched("wrap", () => provider.wrap(w, context, call)),
    unwrap: (wrap, openVersion) => watched("unwrap", () => provider.unwrap(wrap, context, call, openVersion)),
  };
}

async function watch<T extends { keyVersion?: string; cloudRequestId?: string }>(
  kind: "wrap" | "unwrap",
  member: string,
  { context, metrics }: MemberCalls,
  trace: MemberTrace,
  made: () => Promise<T>,
): Promise<T> {
  const finish = timeCall(metrics, { kek: context.kek, member, call: kind });
  trace.note(member, { result: "unfinished" });
  try {
    const result = await made();
    finish("ok");
    trace.note(member, {
      result: "ok",
      keyVersion: result.keyVersion,
      cloudRequestId: result.cloudRequestId,
    });
    return result;
  } catch (error) {
    if (!(error instanceof ProviderError)) {
      finish("Internal");
      throw error;
    }
    finish(error.code);
    trace.note(member, { result: error.code, cloudRequestId: error.cloudRequestId });
    const { code, message } = error;
    throw new MemberFailure(message, {
      final: code === "InvalidCiphertext",
      unclear: code === "Refused",
      cause: error,
    });
  }
}

/** Starts the clock of one call to a cloud; the result stops it. */
export function timeCall(
  metrics: Metrics,
  labels: { readonly kek: string; readonly member: string; readonly call: "wrap" | "unwrap" | "version" },
): (result: string) => void {
  const start = performance.now();
  return (result) => {
    metrics.count("kek_broker_provider_calls_total", { ...labels, result });
    metrics.observe("kek_broker_provider_call_duration_seconds", (performance.now() - start) / 1000, labels);
  };
}
