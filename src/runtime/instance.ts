import { createBroker, type Broker } from "../broker/app.ts";
import type { BrokerDeps } from "../broker/deps.ts";
import { BrokerProblem } from "../broker/problem.ts";
import type { ProviderMap } from "../broker/state.ts";
import type { CheckOptions } from "../config/cross-check.ts";
import type { Platform } from "../kms/platform.ts";
import { DocumentError } from "../wire/document.ts";
import { loadConfig, usesDevelopmentKeys } from "./broker-state.ts";
import { problemResponse } from "./problem-response.ts";

/** What a runtime that starts instances by itself gives each of them. */
export interface InstanceOptions extends Pick<
  BrokerDeps,
  "recorder" | "log" | "metrics" | "primitives" | "resolve"
> {
  /** The configuration. @throws DocumentError when there is none. */
  readonly readConfig: () => Promise<string> | string;
  readonly check: CheckOptions;
  readonly platform: Platform;
  /** What is done before the first request, where a runtime gives time for that. Never rejects. */
  readonly prepare?: (providers: ProviderMap) => Promise<void>;
}

/**
 * A broker for a runtime that starts instances itself: on Workers and Lambda. Its configuration changes only with a
 * new deployment, and so does a mistake in it, which then answers every request: an instance that ended instead would
 * be started again and again, and tell callers nothing.
 */
export async function startInstance(options: InstanceOptions): Promise<Broker> {
  const { readConfig, check, platform, prepare, ...deps } = options;
  const { log } = deps;
  try {
    const { state } = await loadConfig(await readConfig(), check, platform);
    if (usesDevelopmentKeys(state.config)) log({ level: "warn", event: "development-keys" });
    await prepare?.(state.providers);
    return createBroker({
      ...deps,
      state: () => state,
      now: platform.now,
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
    });
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    log({ level: "error", event: "config-refused", error: error.message });
    return { fetch: () => Promise.resolve(refusal()) };
  }
}

/** To callers no more than that it is not their fault; the mistakes are in the log. */
function refusal(): Response {
  const problem = new BrokerProblem("Internal", "This broker's configuration is refused: its log says why.");
  return problemResponse(problem, crypto.randomUUID());
}
