import type { Recorder } from "../audit/recorder.ts";
import { orAbort } from "../wire/deadline.ts";
import type { LineWriter } from "./line-writer.ts";

/**
 * Records intents and outcomes as JSON lines; the outcome's failure is told, not thrown. A disk that hangs does not hold
 * the caller; a line written after all is an intent without an act.
 */
export function createAppendRecorder(writer: LineWriter, onLost: (cause: unknown) => void): Recorder {
  return {
    intent: (entry, signal) => orAbort(writer.write(JSON.stringify(entry)), signal),
    outcome: (entry) => writer.write(JSON.stringify(entry)).catch(onLost),
  };
}
