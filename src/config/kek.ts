import * as z from "zod";

import { decodeBase64 } from "../wire/base64.ts";
import { Duration } from "../wire/duration.ts";
import { MAX_MEMBERS } from "../wire/limits.ts";
import { MEMBER_USES } from "../wire/messages.ts";
import { Name } from "../wire/name.ts";
import { AwsKms, AzureKeyVault, GcpKms } from "./cloud-key.ts";
import { refusesRsaOnly, sealsRsaOnly } from "./rsa-only.ts";
import { named, spanning } from "./values.ts";

const LocalKey = z.strictObject({
  version: Name.describe("What the version is called: part of every wrap made with it."),
  key: z
    .string()
    .refine((text) => decodeBase64(text)?.length === 32, "must be 32 bytes in base64")
    .describe("32 random bytes, base64."),
});

const Local = z
  .strictObject({
    keys: z.array(LocalKey).min(1).max(16).describe("The key's versions."),
    primary: Name.describe("The version that wraps; the others only unwrap."),
  })
  .superRefine(({ keys, primary }, context) => {
    const versions = keys.map(({ version }) => version);
    if (!versions.includes(primary)) {
      context.addIssue({
        code: "custom",
        path: ["primary"],
        message: "is not the version of one of the keys",
      });
    }
    versions.forEach((version, index) => {
      if (versions.indexOf(version) === index) return;
      context.addIssue({
        code: "custom",
        path: ["keys", index, "version"],
        message: "is the version of another key too",
      });
    });
  });

/** Where a member's key may be; exactly one for each member. */
const ALTERNATIVES = ["awsKms", "gcpKms", "azureKeyVault", "local"] as const;

const Member = z
  .strictObject({
    awsKms: AwsKms.optional().describe("A symmetric key in AWS KMS."),
    gcpKms: GcpKms.optional().describe("A symmetric key in Google Cloud KMS."),
    azureKeyVault: AzureKeyVault.optional().describe("A key in Azure Key Vault or Managed HSM."),
    local: Local.optional().describe(
      "A key held in this very file, for development and tests: refused unless `allowDevelopmentKeys` is true or under `kek-broker dev`.",
    ),
    use: z
      .enum(MEMBER_USES)
      .default("both")
      .describe(
        "`both` wraps and unwraps; `unwrap` only opens what is sealed. A new member starts with `unwrap` at every broker before it wraps at any.",
      ),
  })
  .refine(
    (member) => ALTERNATIVES.filter((name) => member[name] !== undefined).length === 1,
    `give exactly one of ${ALTERNATIVES.join(", ")}`,
  )
  .meta({ oneOf: ALTERNATIVES.map((name) => ({ required: [name] })) });
export type Member = z.infer<typeof Member>;

const Lease = z.strictObject({
  maxAge: Duration.prefault("10m").describe("How long a shim may use unwrapped keys after any answer."),
  staleIfError: Duration.prefault("24h").describe("How much longer while no broker answers at all."),
  graceDenied: Duration.prefault("1h").describe(
    "How much longer once every broker that answers denies: a mistake in a configuration must not take every cluster down. A revocation ends the lease at once.",
  ),
});

const count = z.int().min(1).max(MAX_MEMBERS);

const KekShape = z.strictObject({
  threshold: count
    .default(1)
    .describe(
      "Members that must agree to unwrap. More than 1 is in the envelope's format, but not built yet.",
    ),
  wrapQuorum: count
    .optional()
    .describe(
      "Members that must have wrapped before a wrap counts. Default: `threshold`, and one more where three or more members wrap.",
    ),
  minThreshold: count.default(1).describe("Envelopes sealed with a lower threshold are refused."),
  allowRsaOnly: z
    .boolean()
    .default(false)
    .describe(
      "Open envelopes that hold RSA wraps alone, which anybody with the public key could have made: while migrating.",
    ),
  members: named(Member)
    .meta({ minProperties: 1, maxProperties: MAX_MEMBERS })
    .describe(
      "The keys behind this KEK, by name. A name is forever: it stands for key material and is written into envelopes. They are asked in this order.",
    ),
  lease: Lease.prefault({}).describe(
    "How long shims may go on without asking; told in status. **Not enforced yet**: today's shim, in `mode: direct`, keeps what it unwrapped until it stops or is told `Revoked`.",
  ),
  epoch: z
    .int()
    .min(0)
    .max(1_000_000)
    .default(0)
    .describe(
      "Raised with every change of the members that wrap or of the threshold, and for a return to an old version of a key.",
    ),
});
export type Kek = z.infer<typeof KekShape>;

const SPANNED = ["threshold", "wrapQuorum", "minThreshold", "allowRsaOnly", "members"] as const;

export const Kek = KekShape.superRefine(
  (kek, context) => {
    for (const [path, message] of mistakesIn(kek)) context.addIssue({ code: "custom", path, message });
  },
  spanning(...SPANNED),
);

function* mistakesIn(kek: Pick<Kek, (typeof SPANNED)[number]>): Generator<[PropertyKey[], string]> {
  const members = Object.values(kek.members);
  const wrapping = members.filter(({ use }) => use === "both").length;
  if (members.length === 0) yield [["members"], "needs at least one member"];
  else if (wrapping === 0) {
    yield [["members"], "needs a member with use: both (to retire a KEK, take `wrap` out of its grants)"];
  }
  if (members.length > MAX_MEMBERS) yield [["members"], `has more than ${MAX_MEMBERS} members`];
  if (wrapping > 0 && kek.threshold > wrapping) {
    yield [["threshold"], "is more than the members with use: both"];
  } else if (kek.threshold > 1) {
    yield [["threshold"], "more than 1 is not built yet"];
  }
  if (kek.minThreshold > Math.max(1, kek.threshold))
    yield [["minThreshold"], "is more than threshold: nothing sealed now would open"];
  if (wrapping > 0 && sealsRsaOnly(kek) && refusesRsaOnly(kek)) {
    const message =
      "must be true where RSA members wrap alone and a symmetric one is there: nothing sealed now would open";
    yield [["allowRsaOnly"], message];
  }
  if (kek.wrapQuorum === undefined) return;
  if (kek.wrapQuorum < kek.threshold)
    yield [["wrapQuorum"], "is less than threshold: nothing sealed would open"];
  if (wrapping > 0 && kek.wrapQuorum > wrapping)
    yield [["wrapQuorum"], "is more than the members with use: both"];
}
