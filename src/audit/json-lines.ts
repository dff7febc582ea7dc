import type { Recorder } from "./recorder.ts";

/**
 * Records each entry as one line of JSON.
 * @param write Appends a line; resolves once it is kept as well as the place can keep it.
 * @param onLost Told of outcomes that could not be written: nobody waits for those.
 */
export function createLineRecorder(
  write: (line: string, signal?: AbortSignal) => Promise<void>,
  onLost: (cause: unknown) => void,
): Recorder {
  return {
    intent: async (entry, signal) => {
      signal.throwIfAborted();
      await write(JSON.stringify(entry), signal);
    },
    outcome: async (entry) => {
      try {
        await write(JSON.stringify(entry));
      } catch (cause) {
        onLost(cause);
      }
    },
  };
}
