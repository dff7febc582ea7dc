import { orAbort, startDeadline } from "../wire/deadline.ts";
import { MAX_BODY_BYTES, MAX_TIMEOUT_MS } from "../wire/limits.ts";
import { BrokerProblem } from "./problem.ts";

/** A body that is too large is still read to here, so that its sender, done sending, reads why it was refused. */
const DRAINED_BYTES = 8 * MAX_BODY_BYTES;

/**
 * The body's bytes, read once.
 * @throws BrokerProblem `PayloadTooLarge`, or `Validation` when it does not arrive whole within the signal's time.
 */
export async function readBody(request: Request, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  if (request.method === "GET" || request.method === "HEAD") return new Uint8Array();
  const announced = Number(request.headers.get("content-length") ?? Number.NaN);
  if (announced > DRAINED_BYTES) throw tooLarge();
  try {
    const bytes = await (announced <= MAX_BODY_BYTES
      ? readWhole(request, signal)
      : readCounted(request.body, signal));
    if (bytes !== undefined) return bytes;
  } catch (cause) {
    throw new BrokerProblem("Validation", "The body did not arrive whole and in time: send it again.", {
      cause,
    });
  }
  throw tooLarge();
}

/** For a small body of announced length, which HTTP servers hold it to: many times cheaper than a stream. */
async function readWhole(
  request: Request,
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  const bytes = new Uint8Array(await orAbort(request.arrayBuffer(), signal));
  return bytes.length <= MAX_BODY_BYTES ? bytes : undefined;
}

/** Counted while it comes. `undefined` when it is too large; it is then drained as far as is worth it. */
async function readCounted(
  body: Request["body"],
  signal: AbortSignal,
): Promise<Uint8Array<ArrayBuffer> | undefined> {
  if (body === null) return new Uint8Array();
  const reader = body.getReader();
  const bytes = new Uint8Array(MAX_BODY_BYTES);
  let size = 0;
  try {
    while (size <= DRAINED_BYTES) {
      const { done, value } = await orAbort(reader.read(), signal);
      if (done) return size <= MAX_BODY_BYTES ? bytes.slice(0, size) : undefined;
      if (size + value.length <= MAX_BODY_BYTES) bytes.set(value, size);
      size += value.length;
    }
  } catch (cause) {
    reader.cancel().catch(() => {});
    throw cause;
  }
  reader.cancel().catch(() => {});
  return undefined;
}

/**
 * Reads what is left of a refused request's body and forgets it: some runtimes reset a connection with an unread one,
 * and the refusal is lost. Never rejects.
 */
export async function drainBody(request: Request): Promise<void> {
  if (request.bodyUsed || request.body === null) return;
  const deadline = startDeadline(MAX_TIMEOUT_MS);
  await readBody(request, deadline.signal).catch(() => {});
  deadline.clear();
}

/** @throws BrokerProblem `UnsupportedMediaType` unless the body is said to be JSON. */
export function requireJson(contentType: string | undefined): void {
  const [essence = ""] = (contentType ?? "").split(";");
  if (essence.trim().toLowerCase() === "application/json") return;
  throw unsupportedMediaType();
}

export function unsupportedMediaType(): BrokerProblem {
  return new BrokerProblem("UnsupportedMediaType", "Send the body as Content-Type: application/json.");
}

function tooLarge(): BrokerProblem {
  return new BrokerProblem(
    "PayloadTooLarge",
    `The body is over ${MAX_BODY_BYTES} bytes: this service wraps keys, not data.`,
  );
}
