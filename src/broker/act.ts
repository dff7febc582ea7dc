import type { Intent, Outcome } from "../audit/entry.ts";
import { EnvelopeError } from "../envelope/envelope-error.ts";
import { orAbort, settlesWithin, startDeadline } from "../wire/deadline.ts";
import { hex } from "../wire/hex.ts";
import type { BrokerServices } from "./deps.ts";
import { createMemberTrace, noteUnproven, type MemberTrace } from "./member.ts";
import type { Principal } from "./principal.ts";
import { BrokerProblem } from "./problem.ts";
import type { RequestContext } from "./request-context.ts";
import { toProblem } from "./to-problem.ts";

/** The most time for recording an intent. */
const INTENT_MS = 500;
/** The most time an answer waits for its outcome's record. */
const OUTCOME_MS = 250;

/** A use of a KEK: what is recorded before it, and how it is done. */
export interface Act<Answer> {
  readonly principal: Principal;
  readonly intent: Pick<Intent, "operation" | "kek" | "cluster" | "uid" | "envelope">;
  readonly perform: (trace: MemberTrace) => Promise<{
    readonly answer: Answer;
    readonly outcome: Pick<Outcome, "keyId" | "envelope">;
  }>;
}

/**
 * Records the intent, acts, records the outcome. No recorded intent, no act.
 * @throws BrokerProblem.
 */
export async function recordedAct<Answer>(
  act: Act<Answer>,
  context: RequestContext,
  services: BrokerServices,
): Promise<Answer> {
  const id = hex(services.random(16));
  await recordIntent(id, act, context, services);
  const trace = createMemberTrace();
  const { signal } = context.deadline;
  const conclude = (result: string, more: Pick<Outcome, "keyId" | "envelope"> = {}): Promise<void> =>
    recordOutcome({ id, result, members: trace.outcomes(), ...more }, context, services);
  try {
    const { answer, outcome } = await orAbort(act.perform(trace), signal);
    await conclude("ok", outcome);
    return answer;
  } catch (error) {
    if (error instanceof EnvelopeError) noteUnproven(trace, error.failures);
    const problem = toProblem(error, signal.aborted);
    await conclude(problem.code);
    throw problem;
  }
}

async function recordIntent(
  id: string,
  { principal, intent }: Act<unknown>,
  { requestId, state, deadline }: RequestContext,
  { recorder, now, metrics, log }: BrokerServices,
): Promise<void> {
  const { kind, cluster, subject, authority } = principal;
  const entry: Intent = {
    kind: "intent",
    id,
    time: new Date(now()).toISOString(),
    requestId,
    ...intent,
    principal: { kind, cluster, subject, authority },
    config: state.digest,
  };
  const limit = startDeadline(INTENT_MS, deadline.signal);
  try {
    await orAbort(recorder.intent(entry, limit.signal), limit.signal);
  } catch (cause) {
    // The caller's own time was too short: that says nothing about the record.
    if (deadline.signal.aborted) throw toProblem(cause, true);
    metrics.count("kek_broker_intents_failed_total", {});
    log({
      level: "error",
      event: "audit-intent-failed",
      requestId,
      kek: intent.kek,
      operation: intent.operation,
    });
    throw new BrokerProblem(
      "AuditUnavailable",
      "This use could not be recorded, so nothing was done: try again, or at another broker.",
      { cause },
    );
  } finally {
    limit.clear();
  }
}

async function recordOutcome(
  outcome: Omit<Outcome, "kind" | "time" | "requestId">,
  { requestId, deadline, after }: RequestContext,
  { recorder, now, metrics, log }: BrokerServices,
): Promise<void> {
  const entry: Outcome = { kind: "outcome", time: new Date(now()).toISOString(), requestId, ...outcome };
  const recorded = recorder.outcome(entry);
  if (await settlesWithin(Math.min(OUTCOME_MS, deadline.remaining()), recorded)) return;
  metrics.count("kek_broker_outcomes_late_total", {});
  log({ level: "warn", event: "audit-outcome-late", requestId });
  after(recorded);
}
