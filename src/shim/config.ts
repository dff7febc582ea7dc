import * as z from "zod";

import { parseDocument } from "../wire/document.ts";
import { Name } from "../wire/name.ts";

/**
 * The shim's file, as a person writes it (input) and as the shim uses it (output, defaults applied). Only what is
 * built is accepted: an unknown field is a mistake. The documentation is made from the descriptions.
 */

/** Node hands a longer path to the kernel cut short, without a word (`sun_path` holds 107 bytes and a NUL). */
export const MAX_SOCKET_PATH_BYTES = 107;

const SocketUrl = z
  .string()
  .regex(/^unix:\/\/\/[^\0]*[^/\0]$/, "write the socket as unix:///ABSOLUTE/PATH")
  .refine((text) => Buffer.byteLength(socketPathOf(text)) <= MAX_SOCKET_PATH_BYTES, {
    message: `the path of a unix socket is at most ${MAX_SOCKET_PATH_BYTES} bytes: choose a shorter one`,
  });

const LOOPBACK = /^(localhost|127(\.[0-9]{1,3}){3}|\[::1\])$/;

const BrokerUrl = z
  .url({ protocol: /^https?$/, error: "must be an https:// URL" })
  .refine(isOriginOnly, "write scheme, host and port alone, as https://kek.example.com")
  .refine(isEncryptedOrLocal, "must be https: plain http is accepted for a loopback address only")
  .transform((text) => new URL(text).origin);

function isOriginOnly(text: string): boolean {
  const url = parseUrl(text);
  if (url === undefined) return true; // z.url has said so
  return url.pathname === "/" && url.search === "" && url.hash === "" && url.username === "";
}

function isEncryptedOrLocal(text: string): boolean {
  const url = parseUrl(text);
  return url === undefined || url.protocol === "https:" || LOOPBACK.test(url.hostname);
}

function parseUrl(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}

const FilePath = z.string().min(1).max(4096);

const Identity = z
  .strictObject({
    nodeKey: FilePath.optional().describe(
      "File with this node's private key, a JWK (EC P-256 or Ed25519), readable by its owner alone. A short-lived token is signed with it for each request.",
    ),
    tokenFile: FilePath.optional().describe(
      "File with a JWT, read again when it changes: a projected ServiceAccount token, or a SPIFFE JWT-SVID.",
    ),
    exec: z
      .array(z.string().max(4096))
      .min(1)
      .max(64)
      .optional()
      .describe(
        "Command and arguments, run without a shell, that print a JWT on standard output within 5 seconds. Kept until shortly before its `exp`.",
      ),
  })
  .refine(
    (identity) => Object.values(identity).filter((source) => source !== undefined).length === 1,
    "give exactly one of nodeKey, tokenFile, exec",
  );

const Socket = z.strictObject({
  owner: z
    .string()
    .regex(/^[0-9]{1,10}:[0-9]{1,10}$/, 'write the owner as "UID:GID", in numbers')
    .optional()
    .describe('Owner of the socket, "UID:GID" in numbers. Default: who runs the shim.'),
  mode: z
    .enum(["0600", "0660"], 'must be "0600" or "0660", in quotes: nobody else may use the socket')
    .default("0600")
    .describe("Rights on the socket."),
});

const MODE_MESSAGE = "only `direct` is built so far: `local-kek` comes with a later version";

export const ShimConfig = z
  .strictObject({
    kek: Name.describe("The KEK at the broker."),
    cluster: Name.describe("This cluster, as the key under `clusters` in the broker's configuration."),
    node: Name.optional().describe(
      "This node, as the key under the cluster's `nodes`. Needed with `identity.nodeKey`.",
    ),
    listen: SocketUrl.describe("The socket that kube-apiserver is told of: unix:///run/kek/kms.sock."),
    socket: Socket.prefault({}).describe("Who may use the socket."),
    brokers: z
      .array(BrokerUrl)
      .min(1, "name at least one broker")
      .max(8)
      .refine((urls) => new Set(urls).size === urls.length, "each broker once")
      .describe("Brokers in order of preference. https; http on a loopback address only."),
    audience: z
      .string()
      .min(1)
      .max(255)
      .optional()
      .describe(
        "The broker's `audience`, named in the tokens made with `nodeKey`. Default: the first of `brokers`, without a slash at its end.",
      ),
    ca: FilePath.optional().describe(
      "PEM file with the certificate authorities of the brokers, instead of the system's.",
    ),
    identity: Identity.describe("Where the token comes from that the broker knows this cluster by."),
    mode: z
      .literal("direct", MODE_MESSAGE)
      .default("direct")
      .describe("`direct`: each seed of the apiserver is wrapped by the broker."),
    http: z
      .string()
      .regex(/^(127\.0\.0\.1|\[::1\]):[0-9]{1,5}$/, "write 127.0.0.1:PORT")
      .refine((text) => Number(text.slice(text.lastIndexOf(":") + 1)) <= 65_535, "the port is at most 65535")
      .optional()
      .describe("Where /livez, /readyz and /metrics answer. Port 0 takes a free one. Default: nowhere."),
    statusVersion: z
      .enum(["v2", "v2beta1"])
      .default("v2")
      .describe("What Status says: `v2beta1` for Kubernetes 1.27 and 1.28, else `v2`."),
  })
  .refine(({ identity, node }) => identity.nodeKey === undefined || node !== undefined, {
    path: ["node"],
    message: "identity.nodeKey needs the node's name here",
  })
  .transform((config) => ({ ...config, audience: config.audience ?? config.brokers[0] ?? "" }));

/** As the shim uses it. */
export type ShimConfig = z.output<typeof ShimConfig>;
/** As a person writes it. */
export type ShimConfigInput = z.input<typeof ShimConfig>;

/**
 * Reads the shim's file: YAML or JSON.
 * @throws DocumentError naming all mistakes at once
 */
export function parseShimConfig(text: string): ShimConfig {
  return parseDocument(text, ShimConfig);
}

/** The file system path of `unix:///…`. */
export function socketPathOf(listen: string): string {
  return listen.slice("unix://".length);
}
