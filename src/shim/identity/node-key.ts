import { createHash, createPrivateKey, createPublicKey, randomUUID, sign, verify } from "node:crypto";
import type { KeyObject } from "node:crypto";
import type { Stats } from "node:fs";
import * as z from "zod";

import { NODE_ASSERTION_MAX_AGE_S, NODE_ASSERTION_TYPE } from "../../wire/node-assertion.ts";
import type { NodeAssertionClaims } from "../../wire/node-assertion.ts";
import { BrokerCallError, StartError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Identity, SignedRequest } from "./identity.ts";
import { FileProblem, WatchedFile } from "./watched-file.ts";

export interface NodeKeySettings {
  readonly file: string;
  readonly cluster: string;
  readonly node: string;
  readonly audience: string;
}

const part = z.string().regex(/^[A-Za-z0-9_-]{43}$/);

/** A private JWK (RFC 7517, 8037): EC P-256 or Ed25519. */
const PrivateJwk = z.discriminatedUnion("kty", [
  z.strictObject({
    kty: z.literal("EC"),
    crv: z.literal("P-256"),
    x: part,
    y: part,
    d: part,
    kid: z.string().max(128).optional(),
    alg: z.literal("ES256").optional(),
    use: z.literal("sig").optional(),
  }),
  z.strictObject({
    kty: z.literal("OKP"),
    crv: z.literal("Ed25519"),
    x: part,
    d: part,
    kid: z.string().max(128).optional(),
    alg: z.enum(["EdDSA", "Ed25519"]).optional(),
    use: z.literal("sig").optional(),
  }),
]);

interface NodeKey {
  readonly key: KeyObject;
  readonly algorithm: "ES256" | "EdDSA";
  readonly kid: string | undefined;
}

/** How far a token's `iat` lies back: a broker whose clock is a little behind must not see a token of the future. */
const BACKDATED_S = 5;

/**
 * Signs a token for each request, bound to its method, path and body.
 * @throws StartError `IdentityUnusable`
 */
export function createNodeKeyIdentity(settings: NodeKeySettings, log: Log): Identity {
  const file = new WatchedFile(settings.file, (text, stats) => parseNodeKey(settings.file, text, stats), log);
  try {
    file.read();
  } catch (error) {
    if (!(error instanceof FileProblem)) throw error;
    throw new StartError("IdentityUnusable", `identity.nodeKey: ${error.message}`, { cause: error });
  }
  const subject = `${settings.cluster}/${settings.node}`;
  return {
    token: async (request) => signAssertion(file.read(), subject, settings.audience, request),
    refused: () => {
      file.recheck();
    },
  };
}

function signAssertion(key: NodeKey, subject: string, audience: string, request: SignedRequest): string {
  const iat = Math.floor(request.wall / 1000) - BACKDATED_S;
  const bound: NodeAssertionClaims = {
    htm: request.method,
    htu: request.path,
    bh: createHash("sha256").update(request.body).digest("base64url"),
  };
  const header = {
    typ: NODE_ASSERTION_TYPE,
    alg: key.algorithm,
    ...(key.kid === undefined ? {} : { kid: key.kid }),
  };
  const claims = {
    iss: subject,
    sub: subject,
    aud: audience,
    iat,
    exp: iat + NODE_ASSERTION_MAX_AGE_S,
    jti: randomUUID(),
    ...bound,
  };
  const signed = `${encode(header)}.${encode(claims)}`;
  return `${signed}.${signBytes(key, Buffer.from(signed)).toString("base64url")}`;
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** JWS signatures (RFC 7518 section 3.4, RFC 8037). */
function signBytes({ key, algorithm }: NodeKey, bytes: Uint8Array): Buffer {
  try {
    return algorithm === "ES256"
      ? sign("sha256", bytes, { key, dsaEncoding: "ieee-p1363" })
      : sign(null, bytes, key);
  } catch (error) {
    throw new BrokerCallError("NoIdentity", "the node key cannot sign", { cause: error });
  }
}

function parseNodeKey(path: string, text: string, stats: Stats): NodeKey {
  if ((stats.mode & 0o077) !== 0) {
    throw new FileProblem(`${path} can be read by others than its owner: chmod 0600 it, or make a new key`);
  }
  const jwk = PrivateJwk.safeParse(parseJson(text));
  if (!jwk.success) {
    throw new FileProblem(
      `${path} is not a private JWK of EC P-256 or Ed25519: make one with kekctl node new`,
    );
  }
  const algorithm = jwk.data.kty === "EC" ? "ES256" : "EdDSA";
  const { kid } = jwk.data;
  let key: KeyObject;
  try {
    key = createPrivateKey({ key: { ...jwk.data }, format: "jwk" });
    const nodeKey: NodeKey = { key, algorithm, kid };
    if (isItself(nodeKey, jwk.data)) return nodeKey;
  } catch {
    // The cause is dropped: a crypto error may carry the key it was given.
  }
  throw new FileProblem(`${path}: the private and the public part of the key do not belong together`);
}

/** Whether what `d` signs, the public part verifies: Node takes the two as they come. */
function isItself(nodeKey: NodeKey, jwk: z.output<typeof PrivateJwk>): boolean {
  const { kty, crv, x } = jwk;
  const publicJwk = jwk.kty === "EC" ? { kty, crv, x, y: jwk.y } : { kty, crv, x };
  const key = createPublicKey({ key: publicJwk, format: "jwk" });
  const message = Buffer.from("kek-broker node key");
  const signature = signBytes(nodeKey, message);
  return nodeKey.algorithm === "ES256"
    ? verify("sha256", message, { key, dsaEncoding: "ieee-p1363" }, signature)
    : verify(null, message, key, signature);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
