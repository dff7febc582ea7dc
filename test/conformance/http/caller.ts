import { SignJWT, type JWTPayload } from "jose";
import { createHash, randomUUID } from "node:crypto";
import { importJWK } from "jose";
import { request } from "undici";

import type { NodeIdentity } from "./fixture.ts";

/** What a test may get wrong on purpose. `null` leaves a claim or header out. */
export interface Mistakes {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly headers?: Record<string, string | null>;
  /** Sent instead of the body that was signed for. */
  readonly sentBody?: string;
  readonly signWith?: NodeIdentity;
  readonly token?: string;
}

export interface Answer {
  readonly status: number;
  readonly headers: Record<string, string | string[] | undefined>;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

function without(values: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== null));
}

/** Signs a node assertion over one request, in this suite's own words: it shares no code with shim or broker. */
async function signAssertion(
  node: NodeIdentity,
  audience: string,
  method: string,
  path: string,
  body: string,
  mistakes: Mistakes = {},
): Promise<string> {
  const now = Math.floor(Date.now() / 1000);
  const subject = `${node.cluster}/${node.node}`;
  const signer = mistakes.signWith ?? node;
  const claims: JWTPayload = without({
    iss: subject,
    sub: subject,
    aud: audience,
    iat: now,
    exp: now + 30,
    jti: randomUUID(),
    htm: method,
    htu: path,
    bh: createHash("sha256").update(body).digest("base64url"),
    ...mistakes.claims,
  });
  const header = without({ typ: "kek-node+jwt", ...mistakes.header });
  return new SignJWT(claims)
    .setProtectedHeader({ ...header, alg: signer.key.alg })
    .sign(await importJWK(signer.key, signer.key.alg));
}

/** The headers of an authenticated request, however it is sent. */
export async function signedHeaders(
  node: NodeIdentity,
  audience: string,
  method: string,
  path: string,
  body?: string,
  mistakes: Mistakes = {},
): Promise<Record<string, string>> {
  const token = mistakes.token ?? (await signAssertion(node, audience, method, path, body ?? "", mistakes));
  return without({
    authorization: `Bearer ${token}`,
    ...(body === undefined ? {} : { "content-type": "application/json" }),
    ...mistakes.headers,
  }) as Record<string, string>;
}

/** One authenticated request to a broker, or one that is wrong in a chosen way. */
export async function call(
  target: { url: string; audience: string },
  node: NodeIdentity,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
  mistakes: Mistakes = {},
): Promise<Answer> {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const headers = await signedHeaders(
    node,
    target.audience,
    method,
    path,
    body === undefined ? undefined : text,
    mistakes,
  );
  return send(
    target.url,
    method,
    path,
    headers,
    body === undefined ? undefined : (mistakes.sentBody ?? text),
  );
}

/** One raw request. */
export async function send(
  url: string,
  method: string,
  path: string,
  headers: Record<string, string> = {},
  body?: string | Buffer,
): Promise<Answer> {
  const response = await request(new URL(path, url), {
    method: method as "GET",
    headers,
    ...(body === undefined ? {} : { body }),
    headersTimeout: 10_000,
    bodyTimeout: 10_000,
  });
  const text = await response.body.text();
  let json: Record<string, unknown> = {};
  try {
    json = JSON.parse(text) as Record<string, unknown>;
  } catch {
    // Not JSON: the test looks at `text`.
  }
  return { status: response.statusCode, headers: response.headers, text, json };
}
