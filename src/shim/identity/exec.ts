import { execFile } from "node:child_process";

import { BrokerCallError } from "../errors.ts";
import type { Identity } from "./identity.ts";
import { expiryOf, readToken } from "./token.ts";

const TIMEOUT_MS = 5_000;
const MAX_OUTPUT_BYTES = 65_536;
/** A token is renewed this long before it ends, or after four fifths of a shorter life. */
const RENEW_BEFORE_MS = 60_000;
/** How long a token is kept that does not say when it ends. */
const UNKNOWN_LIFE_MS = 60_000;
/** A command that fails, or whose tokens the brokers refuse, is not run more often than this. */
const MIN_INTERVAL_MS = 1_000;

interface Held {
  readonly token: string;
  readonly renewAt: number;
  readonly expiresAt: number;
}

/**
 * Runs a command for the token and keeps it until shortly before it ends. It is renewed beside the requests that
 * still use the old one; callers without any wait for the one run in flight.
 */
export function createExecIdentity(command: readonly string[], now: () => number = Date.now): Identity {
  let held: Held | undefined;
  let running: Promise<string> | undefined;
  let lastRun = Number.NEGATIVE_INFINITY;
  let failure: BrokerCallError | undefined;

  async function run(): Promise<string> {
    lastRun = now();
    try {
      const token = await runCommand(command);
      held = holdUntil(token, now());
      failure = undefined;
      return token;
    } catch (error) {
      failure =
        error instanceof BrokerCallError ? error : new BrokerCallError("NoIdentity", "identity.exec failed");
      throw failure;
    } finally {
      running = undefined;
    }
  }

  return {
    token: async () => {
      const time = now();
      const usable = held !== undefined && time < held.expiresAt ? held.token : undefined;
      if (usable !== undefined && held !== undefined && time < held.renewAt) return usable;
      if (running === undefined && time - lastRun < MIN_INTERVAL_MS) {
        if (usable !== undefined) return usable;
        if (failure !== undefined) throw failure;
      }
      running ??= run();
      if (usable === undefined) return running;
      running.catch(() => undefined); // the next call tells, if it still matters
      return usable;
    },
    refused: () => {
      if (held !== undefined) held = { ...held, renewAt: Number.NEGATIVE_INFINITY };
    },
  };
}

function holdUntil(token: string, time: number): Held {
  const expiresAt = expiryOf(token) ?? time + UNKNOWN_LIFE_MS;
  const renewAt = Math.max(expiresAt - RENEW_BEFORE_MS, time + (expiresAt - time) * 0.8);
  return { token, renewAt, expiresAt };
}

/** Neither what it printed nor its arguments are told: both may be secret. */
function runCommand([file = "", ...args]: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const fail = (why: string): void => {
      reject(new BrokerCallError("NoIdentity", `identity.exec: ${file} ${why}`));
    };
    const options = { timeout: TIMEOUT_MS, maxBuffer: MAX_OUTPUT_BYTES, killSignal: "SIGKILL" } as const;
    execFile(file, args, options, (error, stdout) => {
      if (error !== null) {
        if (error.killed === true) fail(`gave no answer within ${TIMEOUT_MS / 1000} s`);
        else if (error.code === "ERR_CHILD_PROCESS_STDIO_MAXBUFFER") fail("printed too much");
        else if (typeof error.code === "number") fail(`ended with code ${error.code}`);
        else fail(`could not be run (${error.code ?? error.signal ?? "unknown error"})`);
        return;
      }
      const token = readToken(stdout);
      if (token === undefined) fail("did not print a JWT");
      else resolve(token);
    });
  });
}
