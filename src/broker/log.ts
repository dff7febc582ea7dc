/**
 * One JSON line per event, and only fields named here: a secret cannot slip in by spreading an object. Values are
 * plain and short; anything else is left out.
 */
const LOG_FIELDS = [
  "requestId",
  "traceparent",
  "method",
  "route",
  "status",
  "code",
  "reason",
  "cluster",
  "principal",
  "kek",
  "member",
  "operation",
  "keyId",
  "degraded",
  "durationMs",
  "issuer",
  "config",
  "result",
  "url",
  "error",
  "privateUrl",
] as const;

type LogField = (typeof LOG_FIELDS)[number];

const LOG_EVENTS = [
  "request",
  "audit-intent-failed",
  "audit-outcome-late",
  "member-failed",
  "issuer-keys-fetched",
  "issuer-keys-failed",
  "internal-error",
  "audit-outcome-lost",
  "listening",
  "stopping",
  "config-loaded",
  "config-refused",
  "restart-needed",
  "audit-reopen-failed",
  "development-keys",
] as const;

type LogEventName = (typeof LOG_EVENTS)[number];

export type LogEvent = {
  readonly level: "info" | "warn" | "error";
  readonly event: LogEventName;
} & { readonly [field in LogField]?: string | number | boolean | undefined };

/** Takes one event; never throws, never waits. */
export type Log = (event: LogEvent) => void;

const LONGEST_VALUE = 200;
/** Ours: it may name every mistake of a configuration file. */
const LONGEST_ERROR = 4000;

/** The line of an event, without its line break. `time` is in milliseconds since the epoch. */
export function logLine(event: LogEvent, time: number): string {
  const line: Record<string, string | number | boolean> = {
    time: new Date(time).toISOString(),
    level: event.level,
    event: event.event,
  };
  for (const field of LOG_FIELDS) {
    const value: unknown = event[field];
    if (typeof value === "string")
      line[field] = value.slice(0, field === "error" ? LONGEST_ERROR : LONGEST_VALUE);
    else if (typeof value === "number" || typeof value === "boolean") line[field] = value;
  }
  return JSON.stringify(line);
}
