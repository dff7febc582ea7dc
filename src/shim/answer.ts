import * as z from "zod";

import { PROBLEM_CODES, PROBLEM_MEDIA_TYPE } from "../wire/problem.ts";
import type { ProblemCode } from "../wire/problem.ts";
import { BrokerCallError } from "./errors.ts";
import type { RawAnswer } from "./transport.ts";

const MAX_DETAIL_LENGTH = 300;
const MAX_RETRY_AFTER_S = 3_600;

/** What is needed of a problem; the code is open, for a broker one version newer may know more. */
const ProblemAnswer = z.object({ code: z.string(), detail: z.string().catch("") });

/**
 * Reads an answer of the broker's API: the value of a 200, or the error that anything else stands for.
 * @throws BrokerCallError
 */
export function readAnswer<Schema extends z.ZodType>(raw: RawAnswer, schema: Schema): z.output<Schema> {
  if (raw.status !== 200) throw problemOf(raw);
  const parsed = schema.safeParse(isMediaType(raw, "application/json") ? parseJson(raw.body) : undefined);
  // The issues are not told: what was parsed may hold a key.
  if (!parsed.success)
    throw new BrokerCallError("BadAnswer", "a broker answered 200 with something else than was asked");
  return parsed.data;
}

function problemOf(raw: RawAnswer): BrokerCallError {
  const problem = ProblemAnswer.safeParse(
    isMediaType(raw, PROBLEM_MEDIA_TYPE) ? parseJson(raw.body) : undefined,
  );
  if (!problem.success) {
    // A proxy in front has spoken, not the broker: no word of it is a denial.
    return new BrokerCallError("BadAnswer", `a broker answered ${raw.status}, and not as a broker`, {
      ...retryAfterOf(raw),
    });
  }
  const code = codeOf(problem.data.code, raw.status);
  return new BrokerCallError(
    code,
    `a broker answered ${code}: ${printable(problem.data.detail)}`,
    retryAfterOf(raw),
  );
}

function codeOf(code: string, status: number): ProblemCode {
  const known = PROBLEM_CODES.find((candidate) => candidate === code);
  if (known !== undefined) return known;
  if (status === 401) return "AuthenticationFailed";
  if (status === 403) return "AccessDenied";
  if (status === 429) return "Throttled";
  return status < 500 ? "UnsupportedOperation" : "Internal";
}

function isMediaType(raw: RawAnswer, type: string): boolean {
  return raw.contentType.split(";")[0]?.trim().toLowerCase() === type;
}

function parseJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString("utf8"));
  } catch {
    return undefined;
  }
}

/** Printable ASCII, as a gRPC status message and a log line can carry it. */
function printable(text: string): string {
  return text.slice(0, MAX_DETAIL_LENGTH).replaceAll(/[^\x20-\x7e]/g, "?");
}

/** Seconds alone (RFC 9110, section 10.2.3): the broker sends no dates. */
function retryAfterOf({ retryAfter }: RawAnswer): { retryAfterMs?: number } {
  if (retryAfter === undefined || !/^[0-9]{1,6}$/.test(retryAfter)) return {};
  return { retryAfterMs: Math.min(Number(retryAfter), MAX_RETRY_AFTER_S) * 1000 };
}
