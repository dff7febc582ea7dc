import * as z from "zod";

import { hostOfUrl, Endpoint, ofFormat } from "./values.ts";

/** Keys in clouds, as a member names them, and who the broker is there without credentials of that cloud. */

const audience = z
  .string()
  .regex(/^[\x21-\x7e]{1,255}$/, "must be 1 to 255 characters without white space")
  .optional();

const AwsFederation = z.strictObject({
  roleArn: z
    .string()
    .max(512)
    .regex(
      /^arn:aws[a-z-]*:iam::[0-9]{12}:role\/[A-Za-z0-9_+=,.@/-]+$/,
      "must be the ARN of a role, arn:aws:iam::ACCOUNT:role/NAME",
    )
    .describe("The role to take on (AssumeRoleWithWebIdentity), which may use the key."),
  audience: audience.describe(
    "The `aud` that AWS expects: a client id of the IAM identity provider. Default: `sts.amazonaws.com`.",
  ),
  endpoint: Endpoint.optional().describe("Another STS endpoint than the one of the key's region."),
});

export const AwsKms = z.strictObject({
  keyArn: z
    .string()
    .max(256)
    .regex(
      /^arn:aws[a-z-]*:kms:[a-z0-9-]+:[0-9]{12}:key\/[A-Za-z0-9-]+$/,
      "must be the ARN of a key, arn:aws:kms:REGION:ACCOUNT:key/ID (an alias can be re-pointed, so it is refused)",
    )
    .describe("The key's ARN, not an alias: a member's name stands for one key."),
  endpoint: Endpoint.optional().describe(
    "Another endpoint than the region's own: a VPC endpoint, or an emulator. https; http on a loopback address only.",
  ),
  federation: AwsFederation.optional().describe(
    "Be this role by the token of `identity`. Without it: the credentials that the AWS SDK finds where the broker runs.",
  ),
});

const GoogleFederation = z.strictObject({
  provider: z
    .string()
    .regex(
      /^projects\/[0-9]+\/locations\/global\/workloadIdentityPools\/[a-z0-9-]{4,32}\/providers\/[a-z0-9-]{4,32}$/,
      "must be projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER, with the project's number and no host before it",
    )
    .describe("The workload identity pool's provider that trusts the token's issuer."),
  audience: audience.describe(
    "The `aud` that the provider allows. Default: its own, `https://iam.googleapis.com/` and the provider's name.",
  ),
  serviceAccount: z
    .string()
    .max(255)
    .regex(
      /^[a-z0-9.-]+@[a-z0-9.:-]+\.gserviceaccount\.com$/,
      "must be a service account, NAME@PROJECT.iam.gserviceaccount.com",
    )
    .optional()
    .describe(
      "A service account to impersonate. Without it the key is used by the federated principal itself.",
    ),
  endpoint: Endpoint.optional().describe(
    "In place of both `https://sts.googleapis.com` and `https://iamcredentials.googleapis.com`.",
  ),
});

const NOT_A_CRYPTO_KEY =
  "must be projects/PROJECT/locations/LOCATION/keyRings/RING/cryptoKeys/KEY, without a version: the primary one wraps";

export const GcpKms = z.strictObject({
  cryptoKey: z
    .string()
    .max(512)
    .regex(
      /^projects\/[a-z0-9.:-]+\/locations\/[a-z0-9-]+\/keyRings\/[A-Za-z0-9_-]{1,63}\/cryptoKeys\/[A-Za-z0-9_-]{1,63}$/,
      NOT_A_CRYPTO_KEY,
    )
    .describe("The key's resource name, without a version. Symmetric encryption and decryption."),
  endpoint: Endpoint.optional().describe("Another endpoint than `https://cloudkms.googleapis.com`."),
  transport: z
    .enum(["grpc", "rest"])
    .optional()
    .describe("How the key is spoken to. Default: `grpc` on Node; Workers have only `rest`."),
  federation: GoogleFederation.optional().describe(
    "Be this principal by the token of `identity`. Without it: Application Default Credentials, on Node only.",
  ),
});

const guid = z.guid({ error: ofFormat("must be an id as 01234567-89ab-cdef-0123-456789abcdef") });

const AzureFederation = z.strictObject({
  tenantId: guid.describe("The Entra tenant of the vault."),
  clientId: guid.describe(
    "The application, or user-assigned managed identity, whose federated credential trusts the token.",
  ),
  audience: audience.describe("The federated credential's audience. Default: `api://AzureADTokenExchange`."),
  authority: Endpoint.optional().describe(
    "Another authority than `https://login.microsoftonline.com`: a national cloud's.",
  ),
});

export const AzureKeyVault = z.strictObject({
  keyUrl: z
    .string()
    .max(255)
    .regex(
      /^https:\/\/[a-z0-9.-]+(:[0-9]{1,5})?\/keys\/[A-Za-z0-9-]{1,127}$/,
      "must be https://NAME.vault.azure.net/keys/KEY in lower case but for the key, without a version: the newest one wraps",
    )
    .describe("The key's URL in a vault or Managed HSM, without a version."),
  algorithm: z
    .enum(["RSA-OAEP-256", "A256KW"])
    .default("RSA-OAEP-256")
    .describe("`A256KW` is for symmetric keys, which only a Managed HSM holds."),
  bits: z
    .literal([2048, 3072, 4096])
    .default(2048)
    .describe("The RSA key's size, the largest of all its versions: what a wrap may take."),
  federation: AzureFederation.optional().describe(
    "Be this application by the token of `identity`. Without it: the credentials that the Azure SDK finds, on Node only.",
  ),
});

const VAULT_HOST = /^[a-z0-9-]+\.vault\.(azure\.net|azure\.cn|usgovcloudapi\.net)$/;
const HSM_HOST = /^[a-z0-9-]+\.managedhsm\.(azure\.net|azure\.cn|usgovcloudapi\.net)$/;

/** What an Azure key's URL says of where it is; `elsewhere` is nothing that Azure runs. */
export function azureHostOf(keyUrl: string): "vault" | "managed-hsm" | "elsewhere" {
  const host = hostOfUrl(keyUrl);
  if (VAULT_HOST.test(host)) return "vault";
  return HSM_HOST.test(host) ? "managed-hsm" : "elsewhere";
}
