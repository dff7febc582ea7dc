/** What the shim writes a line about. */
type LogEvent =
  | "started"
  | "stopping"
  | "stopped"
  | "request failed"
  | "broker call failed"
  | "clock corrected"
  | "clock too far off"
  | "identity reloaded"
  | "identity not reloaded"
  | "status failed"
  | "healthy"
  | "unhealthy"
  | "key id first seen"
  | "key id changed"
  | "key id refused"
  | "key id probe"
  | "revoked"
  | "envelope too large";

/** All that may stand in a line. None of it is secret: key ids are public, a uid is the apiserver's own UUID. */
interface LogFields {
  readonly broker?: string;
  readonly operation?: string;
  readonly method?: string;
  readonly code?: string;
  readonly detail?: string;
  readonly uid?: string;
  readonly requestId?: string;
  readonly keyId?: string;
  readonly previousKeyId?: string;
  readonly kek?: string;
  readonly cluster?: string;
  readonly node?: string;
  readonly mode?: string;
  readonly socket?: string;
  readonly http?: string;
  readonly offsetSeconds?: number;
  readonly durationMs?: number;
  readonly file?: string;
}

const ALLOWED = [
  "broker",
  "operation",
  "method",
  "code",
  "detail",
  "uid",
  "requestId",
  "keyId",
  "previousKeyId",
  "kek",
  "cluster",
  "node",
  "mode",
  "socket",
  "http",
  "offsetSeconds",
  "durationMs",
  "file",
] as const satisfies readonly (keyof LogFields)[];

const MAX_TEXT_LENGTH = 512;

type LogLevel = "info" | "warn" | "error";
export type Log = (level: LogLevel, event: LogEvent, fields?: LogFields) => void;

/** One JSON line an event, with allow-listed fields only: an object spread into the call by mistake adds nothing. */
export function createLog(print: (line: string) => void, wall: () => number): Log {
  return (level, event, fields = {}) => {
    const line: Record<string, string | number> = { time: new Date(wall()).toISOString(), level, event };
    for (const name of ALLOWED) {
      const value = fields[name];
      if (typeof value === "number") line[name] = value;
      else if (typeof value === "string") line[name] = value.slice(0, MAX_TEXT_LENGTH);
    }
    print(JSON.stringify(line));
  };
}
