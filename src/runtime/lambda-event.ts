import * as z from "zod";

import { BrokerProblem } from "../broker/problem.ts";
import { decodeBase64 } from "../wire/base64.ts";

/** The broker reads no host: what a load balancer's caller sent as one must not decide whether there is a request. */
const ORIGIN = "https://kek-broker.invalid";

const Texts = z.record(z.string(), z.unknown()).nullish();
const Common = {
  /** Of one value each; a load balancer or API Gateway may give all of them in the other. */
  headers: Texts,
  multiValueHeaders: Texts,
  body: z.string().nullish(),
  isBase64Encoded: z.boolean().nullish(),
};
const Path = z.string().startsWith("/");

/** Payload 2.0, as function URLs and API Gateway send it; else payload 1.0 and that of a load balancer. */
const RequestEvent = z.union([
  z
    .object({
      ...Common,
      rawPath: Path,
      requestContext: z.object({ http: z.object({ method: z.string() }) }),
    })
    .transform(({ rawPath, requestContext, ...rest }) => ({
      ...rest,
      path: rawPath,
      method: requestContext.http.method,
    })),
  z
    .object({ ...Common, path: Path, httpMethod: z.string() })
    .transform(({ httpMethod, ...rest }) => ({ ...rest, method: httpMethod })),
]);
type RequestEvent = z.infer<typeof RequestEvent>;

/** What Lambda makes an answer of. */
export interface LambdaAnswer {
  readonly statusCode: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly multiValueHeaders?: Readonly<Record<string, readonly string[]>>;
  readonly body: string;
  readonly isBase64Encoded: false;
}

/** The event's headers that can be such; the others are left out, unseen. */
export function headersOf(event: unknown): Headers {
  const headers = new Headers();
  const { headers: single, multiValueHeaders: multiple } = z.object(Common).catch({}).parse(event);
  for (const [name, values] of Object.entries(multiple ?? {})) {
    for (const value of Array.isArray(values) ? (values as unknown[]) : []) append(headers, name, value);
  }
  const given = new Set(Object.keys(multiple ?? {}).map((name) => name.toLowerCase()));
  for (const [name, value] of Object.entries(single ?? {})) {
    if (!given.has(name.toLowerCase())) append(headers, name, value);
  }
  return headers;
}

/** An engine's refusal quotes the value, which may be a token: nobody is told of it. */
function append(headers: Headers, name: string, value: unknown): void {
  if (typeof value !== "string" || value === "" || /[\0\r\n]/.test(value)) return;
  try {
    headers.append(name, value);
  } catch {
    // Left out.
  }
}

/**
 * The request that an event tells of.
 * @throws BrokerProblem when it tells of none, or of one that no Request can be.
 */
export function requestOf(event: unknown, headers: Headers): Request {
  const parsed = RequestEvent.safeParse(event);
  if (!parsed.success) throw new BrokerProblem("Validation", "The event that came is no HTTP request's.");
  const { path, method } = parsed.data;
  const body = bodyOf(parsed.data);
  const own = new Headers(headers);
  own.delete("content-length");
  if (body !== undefined) own.set("content-length", String(body.length));
  try {
    return new Request(`${ORIGIN}${path}`, { method, headers: own, ...(body !== undefined && { body }) });
  } catch {
    // CONNECT, TRACE, and what is no method at all.
    const allow = "GET, HEAD, POST";
    throw new BrokerProblem("MethodNotAllowed", `This broker takes ${allow} only.`, { allow });
  }
}

/** A body of GET or HEAD means nothing (RFC 9110), and no Request has one. */
function bodyOf({ method, body, isBase64Encoded }: RequestEvent): Uint8Array<ArrayBuffer> | undefined {
  if (method === "GET" || method === "HEAD" || body === undefined || body === null || body === "")
    return undefined;
  const bytes = isBase64Encoded === true ? decodeBase64(body) : new TextEncoder().encode(body);
  if (bytes === undefined)
    throw new BrokerProblem("Validation", "The event's body is not the base64 it says.");
  return bytes;
}

/** The answer in the form that the event's sender reads. Every answer of the broker is text. */
export async function answerOf(response: Response, event: unknown): Promise<LambdaAnswer> {
  const { status, headers } = response;
  const { multiValueHeaders } = z.object(Common).catch({}).parse(event);
  const rest = { statusCode: status, body: await response.text(), isBase64Encoded: false } as const;
  if (multiValueHeaders === undefined || multiValueHeaders === null) {
    return { ...rest, headers: Object.fromEntries(headers) };
  }
  return {
    ...rest,
    multiValueHeaders: Object.fromEntries([...headers].map(([name, value]) => [name, [value]])),
  };
}
