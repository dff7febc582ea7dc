import * as z from "zod";

import { NAME_PATTERN } from "../wire/name.ts";
import { Cluster } from "./cluster.ts";
import { Identity } from "./identity.ts";
import { Kek } from "./kek.ts";
import { Address, HttpsUrl, named } from "./values.ts";

export type { Cluster } from "./cluster.ts";
export type { Identity } from "./identity.ts";
export type { Kek, Member } from "./kek.ts";
export type { NodeJwk } from "./node-jwk.ts";

/**
 * The broker's configuration, as a person writes it (input) and as the broker uses it (output, defaults applied).
 * What spans clusters and KEKs is checked in cross-check.ts. The documentation is made from the descriptions.
 */

const FilePath = z.string().min(1).max(4096);

const Rate = z.strictObject({
  perSecond: z.number().positive().max(100_000).describe("Requests a second, in the long run."),
  burst: z.int().min(1).max(100_000).describe("Requests at once."),
});

export const BrokerConfig = z.strictObject({
  audience: HttpsUrl.describe(
    "What callers name as `aud` in their tokens: this service's own https URL, the same for all its instances.",
  ),
  listen: Address.default("127.0.0.1:8080").describe(
    "Where callers are answered, HOST:PORT. Other addresses than loopback need `tls` (or `tlsInFront`). On Node only.",
  ),
  private: Address.default("127.0.0.1:8081").describe(
    "Where /readyz and /metrics are answered: not for callers. On Node only.",
  ),
  tls: z
    .strictObject({
      certFile: FilePath.describe("PEM file: certificate, then intermediates."),
      keyFile: FilePath.describe("PEM file: private key."),
    })
    .optional()
    .describe("TLS on Node; read again when the files change."),
  tlsInFront: z
    .literal(true)
    .optional()
    .describe(
      "Says that a platform in front speaks TLS and that nothing else reaches `listen`, as on Cloud Run and Container Apps: any address may then do without `tls`. On Node only.",
    ),
  audit: z
    .union(
      [
        z.strictObject({ file: FilePath.describe("Appended to.") }),
        z.strictObject({ stdout: z.literal(true).describe("Standard output.") }),
      ],
      "must be {file: PATH} or {stdout: true}",
    )
    .default({ stdout: true })
    .describe(
      "Where intents and outcomes are recorded, one JSON line each. What cannot be recorded is not done.",
    ),
  rateLimit: z
    .strictObject({
      principal: Rate.default({ perSecond: 50, burst: 500 }).describe("For each node or subject."),
      cluster: Rate.default({ perSecond: 200, burst: 2000 }).describe(
        "For each cluster, all its nodes together.",
      ),
    })
    .prefault({})
    .describe("Limits at each instance of the broker; what is over is answered 429."),
  allowDevelopmentKeys: z
    .boolean()
    .default(false)
    .describe(
      "For development: accept `local` members, whose key is in this file, plain http to a cloud's endpoint, and hosts that are not Azure's.",
    ),
  identity: Identity.optional().describe("Who the broker is to the clouds of members with `federation`."),
  keks: named(Kek).prefault({}).describe("Key-encryption keys, by name."),
  clusters: named(Cluster)
    .prefault({})
    .describe("Who may use them, by name: the name is what tokens and `revoked` use."),
  revoked: z
    .array(z.string().refine(isSubject, "write CLUSTER or CLUSTER/NODE"))
    .max(1024)
    .default([])
    .describe(
      "CLUSTER or CLUSTER/NODE: refused at once, and a shim that is told so drops the keys it holds. The kill switch; it cannot reach a node that is cut off from the broker.",
    ),
});
/** As the broker uses it: defaults applied, durations in seconds, instants in milliseconds since the epoch. */
export type BrokerConfig = z.infer<typeof BrokerConfig>;
/** As a person writes it. */
export type BrokerConfigInput = z.input<typeof BrokerConfig>;

function isSubject(text: string): boolean {
  const names = text.split("/");
  return names.length <= 2 && names.every((name) => NAME_PATTERN.test(name));
}
