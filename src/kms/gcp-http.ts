import { readAtMost } from "../wire/read-at-most.ts";
import { GoogleHttpError } from "./gcp-error.ts";

/** The most that is read of an answer: a CryptoKey with all its labels takes a few thousand bytes. */
export const MAX_ANSWER_BYTES = 64 * 1024;

export const GOOGLE_ENDPOINT = "https://cloudkms.googleapis.com";

export interface GoogleHttpRequest {
  readonly method: string;
  readonly headers: Headers;
  readonly body?: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * One request, and the body of its answer. Follows no redirect: Google's API answers none, and the token would go
 * along. The bytes are the caller's to overwrite.
 * @throws GoogleHttpError for any status but 2xx; TypeError, AbortError and their like without an answer.
 */
export async function exchange(url: string, request: GoogleHttpRequest): Promise<Uint8Array<ArrayBuffer>> {
  // Workers know no redirect: "error".
  const init = { method: request.method, headers: request.headers, signal: request.signal };
  const response = await fetch(url, {
    ...init,
    redirect: "manual",
    ...(request.body !== undefined && { body: request.body }),
  });
  const bytes = await readAtMost(response, MAX_ANSWER_BYTES);
  if (bytes === undefined) throw new RangeError(`an answer of more than ${MAX_ANSWER_BYTES} bytes`);
  if (!response.ok) throw new GoogleHttpError(response.status, parsedOrUndefined(bytes));
  return bytes;
}

/** What the bytes say; throws a SyntaxError or TypeError if they are not JSON. They are zeroed, as they may be secret. */
export function takeJson(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } finally {
    bytes.fill(0);
  }
}

function parsedOrUndefined(bytes: Uint8Array): unknown {
  try {
    return takeJson(bytes);
  } catch {
    return undefined;
  }
}
