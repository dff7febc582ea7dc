import { createHash, generateKeyPairSync, randomBytes, randomUUID, sign } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { seal } from "../../dist/envelope/seal.js";
import { createLocalProvider } from "../../dist/kms/local.js";
import { CREDENTIALS, KEY_ARN, wrap } from "./fake-aws.mjs";
import { appears, printed, PROGRAMS, start } from "./processes.mjs";

const KEK = "prod-secrets";
const CLUSTER = "prod-eu-1";
const NODE = "cp-1";
const AUDIENCE = "https://kek.example.com";
export const UNWRAP = `/v1/keks/${KEK}/unwrap`;
const UNLIMITED = { perSecond: 100_000, burst: 100_000 };

const node = generateKeyPairSync("ec", { namedCurve: "P-256" });
const local = { keys: [{ version: "v1", key: randomBytes(32).toString("base64") }], primary: "v1" };

/** A broker with a KEK in each cloud, named as the cloud. */
export async function startCloudsBroker(folder, fakeAwsUrl, { google, azure }) {
  const keks = {
    aws: { members: { one: { awsKms: { keyArn: KEY_ARN, endpoint: fakeAwsUrl } } } },
    google: { members: { one: { gcpKms: google } } },
    azure: { members: { one: { azureKeyVault: { keyUrl: azure.keyUrl } } } },
  };
  const config = join(folder, "clouds-broker.json");
  writeFileSync(config, JSON.stringify(brokerConfig(keks, join(folder, "clouds-custody.jsonl"))));
  const credentials = { ...CREDENTIALS, IDENTITY_ENDPOINT: azure.identityUrl, IDENTITY_HEADER: "bench" };
  const broker = start(PROGRAMS.broker(config), join(folder, "clouds-broker.log"), credentials);
  const { url } = JSON.parse(await printed(broker, /"listening"/));
  return { ...broker, url };
}

/** A broker and a shim with one KEK in one place: `local`, or `aws` at a fake endpoint. Started one by one. */
export function makeStack(folder, provider, fakeAwsUrl) {
  const member = provider === "local" ? { local } : { awsKms: { keyArn: KEY_ARN, endpoint: fakeAwsUrl } };
  const keks = { [KEK]: { members: { one: member } } };
  const file = (name) => join(folder, `${provider}-${name}`);
  let starts = 0;
  return {
    provider,
    startBroker: async () => {
      starts += 1;
      const config = file("broker.json");
      writeFileSync(config, JSON.stringify(brokerConfig(keks, file("custody.jsonl"))), { mode: 0o600 });
      const broker = start(PROGRAMS.broker(config), file(`broker-${starts}.log`), CREDENTIALS);
      const { url } = JSON.parse(await printed(broker, /"listening"/));
      return { ...broker, url, listeningAfter: performance.now() - broker.began };
    },
    /** Resolves when the socket is there, which is before any broker was asked. */
    startShim: async (brokerUrl) => {
      starts += 1;
      const key = file("node-key.json");
      writeFileSync(key, JSON.stringify(node.privateKey.export({ format: "jwk" })), { mode: 0o600 });
      const socket = file(`kms-${starts}.sock`);
      const config = file("shim.json");
      writeFileSync(config, JSON.stringify(shimConfig(socket, key, brokerUrl)));
      const shim = start(PROGRAMS.shim(config), file(`shim-${starts}.log`));
      await appears(shim, socket, () => existsSync(socket) || undefined);
      return { ...shim, socket };
    },
  };
}

function brokerConfig(keks, custodyFile) {
  const { kty, crv, x, y } = node.publicKey.export({ format: "jwk" });
  return {
    audience: AUDIENCE,
    listen: "127.0.0.1:0",
    private: "127.0.0.1:0",
    allowDevelopmentKeys: true,
    audit: { file: custodyFile },
    rateLimit: { principal: UNLIMITED, cluster: UNLIMITED },
    keks,
    clusters: {
      [CLUSTER]: {
        id: CLUSTER,
        nodes: { [NODE]: { jwks: { keys: [{ kty, crv, x, y }] } } },
        allow: Object.keys(keks).map((kek) => ({ kek, operations: ["wrap", "unwrap", "status"] })),
      },
    },
  };
}

function shimConfig(socket, nodeKey, brokerUrl) {
  return {
    kek: KEK,
    cluster: CLUSTER,
    node: NODE,
    listen: `unix://${socket}`,
    brokers: [brokerUrl],
    audience: AUDIENCE,
    identity: { nodeKey },
    http: "127.0.0.1:0",
  };
}

/** Envelopes that no shim has seen, made here: neither broker nor fake cloud is warmed by it. */
export async function makeEnvelopes(provider, count) {
  const localProvider = createLocalProvider(local);
  const call = { signal: new AbortController().signal };
  const context = { kek: KEK, cluster: CLUSTER };
  const opened = new Map();
  const member = {
    name: "one",
    symmetric: true,
    wrap: async (w) => {
      if (provider === "local") return localProvider.wrap(w, context, call);
      const blob = new Uint8Array(wrap(w));
      opened.set(blob, w.slice());
      return { wrap: blob };
    },
    unwrap: async (blob) => {
      if (provider === "local") return localProvider.unwrap(blob, context, call);
      return { plaintext: opened.get(blob), keyVersion: "bench" };
    },
  };
  const envelopes = [];
  for (let made = 0; made < count; made += 1) {
    const { envelope } = await seal({
      kek: KEK,
      cluster: CLUSTER,
      threshold: 1,
      wrapQuorum: 1,
      members: [member],
      plaintext: new Uint8Array(randomBytes(32)),
      keyIdOf: () => `${KEK}.0.aaaaaaaaaaaaaaaa`,
      random: (bytes) => new Uint8Array(randomBytes(bytes)),
    });
    envelopes.push(envelope);
    opened.clear();
  }
  let next = 0;
  return () => envelopes[next++ % count];
}

/** An unwrap as the shim sends it, signed now: so that signing is no part of what is measured. */
export function signedUnwrap(envelope) {
  return signedPost(UNWRAP, { ciphertext: Buffer.from(envelope).toString("base64") });
}

/** The same for any path and content. */
export function signedPost(path, content) {
  const body = JSON.stringify(content);
  const now = Math.floor(Date.now() / 1000);
  const subject = `${CLUSTER}/${NODE}`;
  const claims = {
    iss: subject,
    sub: subject,
    aud: AUDIENCE,
    iat: now - 1,
    exp: now + 55,
    jti: randomUUID(),
    htm: "POST",
    htu: path,
    bh: createHash("sha256").update(body).digest("base64url"),
  };
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const text = `${part({ alg: "ES256", typ: "kek-node+jwt" })}.${part(claims)}`;
  const signature = sign("sha256", Buffer.from(text), { key: node.privateKey, dsaEncoding: "ieee-p1363" });
  const token = `${text}.${signature.toString("base64url")}`;
  const headers = {
    authorization: `Bearer ${token}`,
    "content-type": "application/json",
    "x-request-id": randomUUID(),
    "x-timeout-ms": "2500",
  };
  return { path, body, headers };
}
