import { exportJWK, generateKeyPair, SignJWT, type CryptoKey, type JWK } from "jose";
import { createHash } from "node:crypto";

import type { Intent, Outcome } from "../../src/audit/entry.ts";
import type { Recorder } from "../../src/audit/recorder.ts";
import { createBroker, type Broker } from "../../src/broker/app.ts";
import type { BrokerDeps } from "../../src/broker/deps.ts";
import { logLine } from "../../src/broker/log.ts";
import type { Metrics } from "../../src/broker/metrics.ts";
import { createBrokerState, type BrokerState, type ProviderMap } from "../../src/broker/state.ts";
import { BrokerConfig, type BrokerConfigInput } from "../../src/config/schema.ts";
import type { KeyProvider } from "../../src/kms/key-provider.ts";
import { createLocalProvider } from "../../src/kms/local.ts";
import { Problem } from "../../src/wire/problem.ts";

/** 2026-11-24T12:00:00Z: no test depends on today. */
export const NOW = Date.UTC(2026, 10, 24, 12);
export const AUDIENCE = "https://kek.example.test";
export const KEK = "prod-secrets";
export const WRAP = `/v1/keks/${KEK}/wrap`;
export const UNWRAP = `/v1/keks/${KEK}/unwrap`;
export const STATUS = `/v1/keks/${KEK}`;
export const DIGEST = "c0ffee".padEnd(64, "0");

export interface Signer {
  readonly algorithm: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

async function makeSigner(algorithm: string): Promise<Signer> {
  const { privateKey, publicKey } = await generateKeyPair(algorithm, { extractable: true });
  return { algorithm, privateKey, jwk: await exportJWK(publicKey) };
}

/** Made once for all tests of a file. */
export const keys = {
  node: await makeSigner("ES256"),
  secondNode: await makeSigner("EdDSA"),
  otherCluster: await makeSigner("EdDSA"),
  stranger: await makeSigner("ES256"),
  issuer: await makeSigner("RS256"),
  otherIssuer: await makeSigner("RS256"),
};

function localKey(fill: number): string {
  return Buffer.alloc(32, fill).toString("base64");
}

export function localProvider(version = "v1", fill = 1): KeyProvider {
  return createLocalProvider({ keys: [{ version, key: localKey(fill) }], primary: version });
}

export const ISSUER = "https://issuer.example.test";
export const SUBJECT = "system:serviceaccount:kube-system:kek-shim";

function nodeJwk({ jwk }: Signer) {
  const { kty, crv, x, y } = jwk;
  return { kty, crv, x, ...(y !== undefined && { y }) } as { kty: "EC"; crv: "P-256"; x: string; y: string };
}

/** Limits have tests of their own. */
const PLENTY = { perSecond: 100_000, burst: 100_000 };

export function configInput(changes: Partial<BrokerConfigInput> = {}): BrokerConfigInput {
  const member = { local: { keys: [{ version: "v1", key: localKey(1) }], primary: "v1" } };
  const all = { kek: KEK, operations: ["wrap" as const, "unwrap" as const, "status" as const] };
  return {
    audience: AUDIENCE,
    allowDevelopmentKeys: true,
    rateLimit: { principal: PLENTY, cluster: PLENTY },
    keks: { [KEK]: { members: { dev: member } }, "other-kek": { members: { dev: member } } },
    clusters: {
      "prod-eu-1": {
        id: "eu-id",
        nodes: {
          "cp-1": { jwks: { keys: [nodeJwk(keys.secondNode), nodeJwk(keys.node)] } },
          "cp-2": { jwks: { keys: [nodeJwk(keys.secondNode)] } },
          old: { jwks: { keys: [nodeJwk(keys.node)] }, notAfter: "2026-01-01" },
        },
        identities: [
          { oidc: { issuer: ISSUER, subject: SUBJECT, jwks: { keys: [{ ...keys.issuer.jwk, kid: "k1" }] } } },
        ] as never,
        allow: [all],
      },
      "prod-us-1": {
        id: "us-id",
        nodes: { "cp-1": { jwks: { keys: [nodeJwk(keys.otherCluster)] } } },
        allow: [all],
      },
      readers: {
        id: "readers",
        nodes: { "cp-1": { jwks: { keys: [nodeJwk(keys.node)] } } },
        allow: [{ kek: KEK, operations: ["status"] }],
      },
    },
    ...changes,
  };
}

export interface Harness {
  readonly broker: Broker;
  readonly entries: (Intent | Outcome)[];
  readonly logs: string[];
  readonly counted: { name: string; labels: Record<string, string>; value?: number }[];
  /** Milliseconds since the epoch; tests move it. */
  clock: number;
  state: BrokerState;
}

export interface HarnessOptions {
  readonly config?: BrokerConfigInput;
  readonly providers?: ProviderMap;
  readonly recorder?: Recorder;
  readonly deps?: Partial<BrokerDeps>;
}

export function stateOf(config: BrokerConfigInput = configInput(), providers?: ProviderMap): BrokerState {
  const parsed = BrokerConfig.parse(config);
  const local: ProviderMap = new Map(
    Object.entries(parsed.keks).map(([kek, { members }]) => [
      kek,
      new Map(Object.keys(members).map((member) => [member, localProvider()])),
    ]),
  );
  return createBrokerState(parsed, DIGEST, new Map([...local, ...(providers ?? [])]));
}

export function makeHarness(options: HarnessOptions = {}): Harness {
  const entries: Harness["entries"] = [];
  const logs: string[] = [];
  const counted: Harness["counted"] = [];
  const metrics: Metrics = {
    count: (name, labels) => void counted.push({ name, labels: { ...labels } }),
    observe: () => {},
    set: (name, value, labels) => void counted.push({ name, value, labels: { ...labels } }),
  };
  const recorder: Recorder = {
    intent: async (entry) => void entries.push(entry),
    outcome: async (entry) => void entries.push(entry),
  };
  const harness: Harness = {
    entries,
    logs,
    counted,
    clock: NOW,
    state: stateOf(options.config, options.providers),
    broker: createBroker({
      state: () => harness.state,
      now: () => harness.clock,
      random: (bytes) => crypto.getRandomValues(new Uint8Array(bytes)),
      recorder: options.recorder ?? recorder,
      log: (event) => void logs.push(logLine(event, harness.clock)),
      metrics,
      ...options.deps,
    }),
  };
  return harness;
}

/** What a test gets wrong on purpose; `undefined` leaves a claim, parameter or header out. */
export interface Mistakes {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly headers?: Record<string, string | undefined>;
  readonly signer?: Signer;
  readonly token?: string;
  /** Sent instead of the body that the token is over. */
  readonly sentBody?: string;
  readonly path?: string;
}

function given<T>(values: Record<string, T | undefined>): Record<string, T> {
  const entries = Object.entries(values).filter((entry): entry is [string, T] => entry[1] !== undefined);
  return Object.fromEntries(entries);
}

export async function nodeToken(
  method: string,
  path: string,
  body: string,
  { claims = {}, header = {}, signer = keys.node }: Mistakes = {},
  subject = "prod-eu-1/cp-1",
): Promise<string> {
  const iat = NOW / 1000;
  const all = given({
    iss: subject,
    sub: subject,
    aud: AUDIENCE,
    iat,
    exp: iat + 30,
    jti: "a-token-id",
    htm: method,
    htu: path,
    bh: createHash("sha256").update(body).digest("base64url"),
    ...claims,
  });
  const protectedHeader = given({ typ: "kek-node+jwt", alg: signer.algorithm, ...header });
  return new SignJWT(all).setProtectedHeader({ alg: "none", ...protectedHeader }).sign(signer.privateKey);
}

export async function oidcToken({
  claims = {},
  header = {},
  signer = keys.issuer,
}: Mistakes = {}): Promise<string> {
  const iat = NOW / 1000;
  const all = given({ iss: ISSUER, sub: SUBJECT, aud: AUDIENCE, iat, exp: iat + 600, ...claims });
  const protectedHeader = given({ typ: "JWT", kid: "k1", ...header });
  return new SignJWT(all)
    .setProtectedHeader({ alg: signer.algorithm, ...protectedHeader })
    .sign(signer.privateKey);
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  readonly json: Record<string, unknown>;
}

export async function send(harness: Harness, request: Request): Promise<Answer> {
  const response = await harness.broker.fetch(request);
  const text = await response.text();
  const isJson = text !== "" && response.headers.get("content-type")?.includes("json") === true;
  return {
    status: response.status,
    headers: response.headers,
    text,
    json: isJson ? (JSON.parse(text) as Record<string, unknown>) : {},
  };
}

export interface Caller {
  readonly subject?: string;
  readonly mistakes?: Mistakes;
}

/** One authenticated request, or one that is wrong in a chosen way. */
export async function call(
  harness: Harness,
  method: "GET" | "POST",
  path: string,
  body?: unknown,
  { subject, mistakes = {} }: Caller = {},
): Promise<Answer> {
  const text = body === undefined ? "" : typeof body === "string" ? body : JSON.stringify(body);
  const token = mistakes.token ?? (await nodeToken(method, path, text, mistakes, subject));
  const headers = given({
    authorization: `Bearer ${token}`,
    ...(method === "POST" && { "content-type": "application/json" }),
    ...mistakes.headers,
  });
  const init: RequestInit = { method, headers };
  if (method === "POST") init.body = mistakes.sentBody ?? text;
  return send(harness, new Request(`http://broker.test${mistakes.path ?? path}`, init));
}

export const PLAINTEXT = Buffer.from("a DEK seed of thirty-two bytes..").toString("base64");

export function wrap(harness: Harness, caller?: Caller, plaintext = PLAINTEXT): Promise<Answer> {
  return call(harness, "POST", WRAP, { plaintext }, caller);
}

export function unwrap(harness: Harness, ciphertext: unknown, caller?: Caller): Promise<Answer> {
  return call(harness, "POST", UNWRAP, { ciphertext }, caller);
}

/** A problem's code, its body checked. */
export function problemCode({ status, headers, json }: Answer): string {
  const problem = Problem.parse(json);
  if (headers.get("content-type") !== "application/problem+json") throw new Error("not problem+json");
  if (problem.status !== status) throw new Error("another status in the body than in the answer");
  if (problem.requestId !== headers.get("x-request-id")) throw new Error("another request id in the body");
  if (headers.get("cache-control") !== "no-store") throw new Error("may be cached");
  return problem.code;
}

/** Nothing a bad request did may last. */
export async function stillServes(harness: Harness): Promise<boolean> {
  const wrapped = await wrap(harness);
  const opened = await unwrap(harness, wrapped.json["ciphertext"]);
  return opened.json["plaintext"] === PLAINTEXT;
}
