import type { AccessToken } from "../../../src/kms/access-token.ts";
import { assumeRole } from "../../../src/kms/identity/aws.ts";
import { exchangeAtEntra } from "../../../src/kms/identity/entra.ts";
import type { Fetch } from "../../../src/kms/identity/exchange.ts";
import { exchangeAtGoogle } from "../../../src/kms/identity/google.ts";
import type { IdentityTokenSource } from "../../../src/kms/identity/identity-token.ts";
import { createIdentityAwsFake } from "../../emulators/identity-aws-fake.ts";
import { createIdentityEntraFake } from "../../emulators/identity-entra-fake.ts";
import { createIdentityGoogleFake } from "../../emulators/identity-google-fake.ts";
import type { TrustedIssuer } from "../../emulators/identity-token-check.ts";
import { SUBJECT } from "./issuer.ts";

export const ROLE = "arn:aws:iam::111122223333:role/kek-broker-prod";
export const PROVIDER =
  "projects/123456/locations/global/workloadIdentityPools/kek-broker/providers/kek-broker";
export const SERVICE_ACCOUNT = "kek-broker@kek-prod.iam.gserviceaccount.com";
export const TENANT = "01234567-89ab-cdef-0123-456789abcdef";
export const CLIENT = "89abcdef-0123-4567-89ab-cdef01234567";
export const SCOPE = "https://vault.azure.net/.default";

export interface Trust {
  readonly trusted: TrustedIssuer;
  readonly now: () => number;
}

/** Each cloud's fake, trusting the issuer for `kek-broker` alone. */
export function awsFake({ trusted, now }: Trust) {
  return createIdentityAwsFake({
    account: "111122223333",
    provider: { ...trusted, clientIds: ["sts.amazonaws.com"] },
    roles: { [ROLE]: { aud: "sts.amazonaws.com", sub: SUBJECT } },
    now,
  });
}

export function googleFake({ trusted, now }: Trust) {
  return createIdentityGoogleFake({
    provider: PROVIDER,
    trusted,
    subject: SUBJECT,
    serviceAccounts: { [SERVICE_ACCOUNT]: [SUBJECT] },
    now,
  });
}

export function entraFake({ trusted, now }: Trust) {
  return createIdentityEntraFake({
    tenantId: TENANT,
    clientId: CLIENT,
    credential: { trusted, subject: SUBJECT, audience: "api://AzureADTokenExchange" },
    now,
  });
}

export interface Exchanged {
  readonly fetch: Fetch;
  readonly now: () => number;
  readonly identity: IdentityTokenSource;
  readonly signal?: AbortSignal;
}

const NEVER = new AbortController().signal;

/** One exchange with each cloud, its federation as small as it can be. */
export const EXCHANGES = {
  AWS: ({ identity, signal = NEVER, ...deps }: Exchanged) =>
    assumeRole(
      { federation: { roleArn: ROLE }, region: "eu-central-1", sessionName: "kek-broker-prod", identity },
      deps,
      signal,
    ),
  Google: ({ identity, signal = NEVER, ...deps }: Exchanged): Promise<AccessToken> =>
    exchangeAtGoogle({ federation: { provider: PROVIDER }, identity }, deps, signal),
  Entra: ({ identity, signal = NEVER, ...deps }: Exchanged): Promise<AccessToken> =>
    exchangeAtEntra(
      { federation: { tenantId: TENANT, clientId: CLIENT }, scope: SCOPE, identity },
      deps,
      signal,
    ),
} as const;

export const FAKES = { AWS: awsFake, Google: googleFake, Entra: entraFake } as const;
export const CLOUDS = ["AWS", "Google", "Entra"] as const;
