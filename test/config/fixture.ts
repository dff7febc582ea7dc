import { DocumentError, type Issue } from "../../src/wire/document.ts";
import type { CheckOptions } from "../../src/config/cross-check.ts";
import { parseBrokerConfig } from "../../src/config/parse.ts";
import type { BrokerConfig } from "../../src/config/schema.ts";

/** Public keys from the RFCs: 7517 appendix A.1, 7515 appendix A.3, 8037 appendix A.2. */
export const KEYS = {
  one: {
    kty: "EC",
    crv: "P-256",
    x: "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
    y: "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
  },
  two: {
    kty: "EC",
    crv: "P-256",
    x: "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    y: "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
  },
  ed: { kty: "OKP", crv: "Ed25519", x: "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" },
} as const;

/** The `d` of `KEYS.one`: the file must not hold it. */
export const PRIVATE_PART = "870MB6gfuTJ4HtUnUvYMyJpr5eUZNP4Bk43bVdj3eAE";

export const ARN = "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
export const OTHER_ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";

/** A configuration of everyday use: two wrapping members, two clusters, one of each identity. */
export const EVERYDAY = `\
audience: https://kek.example.com
keks:
  prod-secrets:
    members:
      aws: { awsKms: { keyArn: "${ARN}" } }
      us: { awsKms: { keyArn: "${OTHER_ARN}" }, use: unwrap }
clusters:
  prod-eu-1:
    id: prod-eu-1
    nodes:
      cp-1: { jwks: { keys: [${JSON.stringify(KEYS.one)}] }, notAfter: 2027-11-01 }
    allow: [{ kek: prod-secrets, operations: [wrap, unwrap, status] }]
    mayOpen: [{ cluster: prod-eu-0, until: 2027-01-31T12:00:00Z }]
  hosted:
    id: hosted
    identities:
      - oidc: { issuer: "https://issuer.example.com", subject: "system:serviceaccount:kube-system:kek-shim" }
    allow: [{ kek: prod-secrets, operations: [unwrap, status] }]
revoked: [prod-eu-1/cp-1]
`;

const ON_NODE: CheckOptions = { allowDevelopmentKeys: false, listens: true };

export function parse(text: string, options: Partial<CheckOptions> = {}): BrokerConfig {
  return parseBrokerConfig(text, { ...ON_NODE, ...options });
}

export function parseValue(value: unknown, options: Partial<CheckOptions> = {}): BrokerConfig {
  return parse(JSON.stringify(value), options);
}

/** What is wrong with a text; nothing if it is accepted. */
export function issuesOf(text: string, options: Partial<CheckOptions> = {}): readonly Issue[] {
  try {
    parse(text, options);
    return [];
  } catch (error) {
    if (error instanceof DocumentError) return error.issues;
    throw error;
  }
}

/** As `PATH: message`. */
export function mistakesIn(value: unknown, options: Partial<CheckOptions> = {}): string[] {
  return issuesOf(JSON.stringify(value), options).map(({ path, message }) => `${path}: ${message}`);
}

/** The smallest configuration that can wrap, to be spoiled. */
export function small(): {
  audience: string;
  keks: Record<string, unknown>;
  clusters: Record<string, unknown>;
} {
  return {
    audience: "https://kek.example.com",
    keks: { prod: { members: { aws: { awsKms: { keyArn: ARN } } } } },
    clusters: {
      eu: {
        id: "eu",
        nodes: { "cp-1": { jwks: { keys: [KEYS.one] } } },
        allow: [{ kek: "prod", operations: ["wrap"] }],
      },
    },
  };
}
