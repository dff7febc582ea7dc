import type { Log } from "../broker/log.ts";
import type { ProviderMap } from "../broker/state.ts";
import { ProviderError, type KeyProvider } from "../kms/key-provider.ts";

/** The most that a start waits for clouds. */
const WARM_UP_MS = 3_000;
const REQUEST_ID = "start";

/**
 * Asks every member for its version before the first request comes: loading a cloud's SDK, a token and a connection
 * may take longer than a request is given, so that a broker without this would refuse the first ones, and a shim that
 * starts then would find no key id. A cloud that is away takes 3 s at most, and prevents nothing. Never rejects.
 */
export async function warmUp(providers: ProviderMap, log: Log, limitMs = WARM_UP_MS): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  const members = [...providers].flatMap(([kek, members]) =>
    [...members].map(async ([member, provider]) => {
      const result = await ask(provider, signal);
      if (result !== "ok") {
        log({ level: "warn", event: "member-failed", kek, member, result, requestId: REQUEST_ID });
      }
    }),
  );
  await Promise.all(members);
}

/** Again after a Timeout: what a call began to load goes on loading. Never rejects. */
async function ask(provider: KeyProvider, signal: AbortSignal): Promise<string> {
  for (;;) {
    try {
      await provider.currentVersion({ signal, requestId: REQUEST_ID });
      return "ok";
    } catch (error) {
      const result = error instanceof ProviderError ? error.code : "Internal";
      if (result !== "Timeout" || signal.aborted) return result;
    }
  }
}
