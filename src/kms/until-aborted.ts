import { ProviderError } from "./key-provider.ts";

/** The promise's result, or `Timeout` once the signal aborts: who overlooks its signal must not hold its caller. */
export function untilAborted<T>(signal: AbortSignal, result: Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(timedOut());
    if (signal.aborted) onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    void result.then(resolve, reject).finally(() => signal.removeEventListener("abort", onAbort));
  });
}

export function timedOut(): ProviderError {
  return new ProviderError("Timeout", "no answer in time");
}
