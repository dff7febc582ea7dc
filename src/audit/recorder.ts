import type { Intent, Outcome } from "./entry.ts";

/** Where uses of KEKs are recorded. No recorded intent, no act. */
export interface Recorder {
  /** Resolves once the intent is recorded; rejects, within the signal's time, if it is not: then nothing may be done. */
  intent(entry: Intent, signal: AbortSignal): Promise<void>;
  /** Best effort, never rejects: an intent without an outcome counts as a release. */
  outcome(entry: Outcome): Promise<void>;
}
