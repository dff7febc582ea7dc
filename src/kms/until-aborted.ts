import { orAbort } from "../wire/deadline.ts";
import { ProviderError } from "./key-provider.ts";

/**
 * The promise's result, or `Timeout` once the signal aborts: who overlooks its signal must not hold its caller. `late`
 * is given a result that comes after that.
 */
export function untilAborted<T>(
  signal: AbortSignal,
  result: Promise<T>,
  late?: (result: T) => void,
): Promise<T> {
  return orAbort(result, signal, timedOut, late);
}

export function timedOut(): ProviderError {
  return new ProviderError("Timeout", "no answer in time");
}
