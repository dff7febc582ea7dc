import { MAX_BODY_BYTES, MAX_TIMEOUT_MS } from "../wire/limits.ts";
import { orAbort, startDeadline } from "./deadline.ts";
import { BrokerProblem } from "./problem.ts";

/** A body that is too large is still read to here, so that its sender, done sending, reads why it was refused. */
const DRAINED_BYTES = 8 * MAX_BODY_BYTES;

/**
 * The body's bytes, read once and counted while they come: `Content-Length` may be absent or lie.
 * @throws BrokerProblem `PayloadTooLarge`, or `Validation` when it does not arrive whole within the signal's time.
 */
export async function readBody(request: Request, signal: AbortSignal): Promise<Uint8Array<ArrayBuffer>> {
  if (request.body === null) return new Uint8Array();
  if (Number(request.headers.get("content-length") ?? 0) > DRAINED_BYTES) throw tooLarge();
  const reader = request.body.getReader();
  const bytes = new Uint8Array(MAX_BODY_BYTES);
  let size = 0;
  try {
    while (size <= DRAINED_BYTES) {
      const { done, value } = await orAbort(reader.read(), signal);
      if (done) break;
      if (size + value.length <= MAX_BODY_BYTES) bytes.set(value, size);
      size += value.length;
    }
  } catch (cause) {
    reader.cancel().catch(() => {});
    throw new BrokerProblem("Validation", "The body did not arrive whole and in time: send it again.", {
      cause,
    });
  }
  if (size <= MAX_BODY_BYTES) return bytes.slice(0, size);
  if (size > DRAINED_BYTES) reader.cancel().catch(() => {});
  throw tooLarge();
}

/**
 * Reads what is left of a refused request's body and forgets it: some runtimes reset a connection with an unread one,
 * and the refusal is lost. Never rejects.
 */
export async function drainBody(request: Request): Promise<void> {
  if (request.body === null || request.bodyUsed) return;
  const deadline = startDeadline(MAX_TIMEOUT_MS);
  await readBody(request, deadline.signal).catch(() => {});
  deadline.clear();
}

/** @throws BrokerProblem `UnsupportedMediaType` unless the body is said to be JSON. */
export function requireJson(contentType: string | undefined): void {
  const [essence = ""] = (contentType ?? "").split(";");
  if (essence.trim().toLowerCase() === "application/json") return;
  throw new BrokerProblem("UnsupportedMediaType", "Send the body as Content-Type: application/json.");
}

function tooLarge(): BrokerProblem {
  return new BrokerProblem(
    "PayloadTooLarge",
    `The body is over ${MAX_BODY_BYTES} bytes: this service wraps keys, not data.`,
  );
}
