import type { Recorder } from "../audit/recorder.ts";
import type { LineWriter } from "./line-writer.ts";

/** Records intents and outcomes as JSON lines; the outcome's failure is told, not thrown. */
export function createAppendRecorder(writer: LineWriter, onLost: (cause: unknown) => void): Recorder {
  return {
    intent: (entry, signal) => settledOrAborted(writer.write(JSON.stringify(entry)), signal),
    outcome: (entry) => writer.write(JSON.stringify(entry)).catch(onLost),
  };
}

/** A disk that hangs must not hold the caller; a line written after all is an intent without an act. */
function settledOrAborted(written: Promise<void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const onAbort = (): void => reject(new Error("the line was not written in time"));
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    written.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}
