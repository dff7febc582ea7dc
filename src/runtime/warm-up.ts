import type { Log } from "../broker/log.ts";
import type { ProviderMap } from "../broker/state.ts";
import { type KeyProvider, toldOf, type ToldFailure } from "../kms/key-provider.ts";

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
      const failed = await ask(provider, signal);
      if (failed !== undefined) {
        log({ level: "warn", event: "member-failed", kek, member, ...failed, requestId: REQUEST_ID });
      }
    }),
  );
  await Promise.all(members);
}

/** Again after a Timeout: what a call began to load goes on loading. Never rejects. */
async function ask(provider: KeyProvider, signal: AbortSignal): Promise<ToldFailure | undefined> {
  for (;;) {
    try {
      await provider.currentVersion({ signal, requestId: REQUEST_ID });
      return undefined;
    } catch (error) {
      const failed = toldOf(error);
      if (failed.result !== "Timeout" || signal.aborted) return failed;
    }
  }
}
