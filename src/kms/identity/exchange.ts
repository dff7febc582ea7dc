import { readAtMost } from "../../wire/read-at-most.ts";
import { ProviderError } from "../key-provider.ts";

/** As `fetch`; tests and other runtimes bring their own. */
export type Fetch = (request: Request) => Promise<Response>;

/** What all exchanges are told. */
export interface ExchangeDeps {
  readonly fetch: Fetch;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

type ExchangeErrorCode = "AccessDenied" | "Throttled" | "Timeout" | "Unavailable";

/** Which cloud's, and what it is called there; and how its errors are read. */
export interface Exchange {
  /** For messages: "AWS STS AssumeRoleWithWebIdentity". */
  readonly name: string;
  /** The cloud's own name of an error, from the answer's text. Told if it is one of `codes`, or passes `tells`. */
  readonly reasonOf: (text: string) => string | undefined;
  readonly tells?: (reason: string) => boolean;
  /** What names mean that their HTTP status does not say. */
  readonly codes: ReadonlyMap<string, ExchangeErrorCode>;
}

const MAX_ANSWER_BYTES = 65_536;

/**
 * Posts and gives the answer's text. No redirect is followed: the token would go along.
 * @throws ProviderError; its message names the exchange and at most a known error of the cloud, never the token.
 */
export async function exchange(
  { name, reasonOf, tells, codes }: Exchange,
  url: string,
  init: Pick<RequestInit, "headers"> & { readonly body: string; readonly signal: AbortSignal },
  fetch: Fetch,
): Promise<string> {
  let response: Response;
  let text: string;
  try {
    // Workers know no redirect: "error".
    response = await fetch(new Request(url, { ...init, method: "POST", redirect: "manual" }));
    const bytes = await readAtMost(response, MAX_ANSWER_BYTES);
    if (bytes === undefined) throw new RangeError("an answer too long");
    text = new TextDecoder().decode(bytes);
  } catch {
    if (init.signal.aborted) throw new ProviderError("Timeout", `${name}: no answer in time`);
    throw new ProviderError("Unavailable", `${name}: no answer`);
  }
  if (response.ok) return text;
  const reason = reasonOf(text);
  const told = reason !== undefined && (codes.has(reason) || tells?.(reason) === true);
  throw new ProviderError(
    codes.get(reason ?? "") ?? codeOfStatus(response.status),
    `${name}: ${told ? reason : `HTTP ${response.status}`}`,
  );
}

/** The answer has another shape than its cloud's documentation says. */
export function notAnAnswer({ name }: Exchange): ProviderError {
  return new ProviderError("Unavailable", `${name}: an incomplete answer`);
}

/** What a cloud refuses in an exchange is the broker's identity: never the wrap, so never `Refused`. */
function codeOfStatus(status: number): ExchangeErrorCode {
  if (status === 429) return "Throttled";
  if (status === 408 || status === 504) return "Timeout";
  return status >= 400 && status < 500 ? "AccessDenied" : "Unavailable";
}

/** What a text says as JSON; `undefined` if it is none. */
export function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return undefined;
  }
}
