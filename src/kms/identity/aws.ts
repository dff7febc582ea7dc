import * as z from "zod";

import { exchange, notAnAnswer, type Exchange, type ExchangeDeps } from "./exchange.ts";
import type { IdentityTokenSource } from "./identity-token.ts";

/** A role's temporary credentials. Secret but for the id. */
export interface AwsSession {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
  readonly sessionToken: string;
  /** Milliseconds since the epoch. */
  readonly expiresAt: number;
}

export interface AwsFederation {
  readonly roleArn: string;
  /** `aud`; `sts.amazonaws.com` if not said. */
  readonly audience?: string | undefined;
  /** Another STS endpoint than the region's. */
  readonly endpoint?: string | undefined;
}

export interface AwsExchange {
  readonly federation: AwsFederation;
  /** The key's: STS is asked where the key is. */
  readonly region: string;
  /** In CloudTrail, after the role's name: 2 to 64 of letters, digits and `_+=,.@-`. */
  readonly sessionName: string;
  readonly identity: IdentityTokenSource;
}

/** The shortest that every role allows as its maximum. */
const SESSION_S = 3600;

/** `ExpiredTokenException` and the like are denials by their status; these are not. */
const STS: Exchange = {
  name: "AWS STS AssumeRoleWithWebIdentity",
  reasonOf: (text) => elementOf(text, "Code"),
  codes: new Map([
    ["AccessDenied", "AccessDenied"],
    ["ExpiredTokenException", "AccessDenied"],
    ["IDPCommunicationError", "Unavailable"],
    ["IDPRejectedClaim", "AccessDenied"],
    ["InvalidIdentityToken", "AccessDenied"],
    ["RegionDisabledException", "AccessDenied"],
    ["ServiceUnavailable", "Unavailable"],
    ["Throttling", "Throttled"],
    ["ThrottlingException", "Throttled"],
    ["ValidationError", "AccessDenied"],
  ]),
};

const Session = z.object({
  accessKeyId: z.string().min(16).max(128),
  secretAccessKey: z.string().min(1),
  sessionToken: z.string().min(1),
  expiresAt: z.iso.datetime({ offset: true }).transform((text) => Date.parse(text)),
});

/** AssumeRoleWithWebIdentity: one call, and not signed, so that it needs no SDK. */
export async function assumeRole(
  { federation, region, sessionName, identity }: AwsExchange,
  { fetch }: Pick<ExchangeDeps, "fetch">,
  signal: AbortSignal,
): Promise<AwsSession> {
  const { roleArn, audience = "sts.amazonaws.com", endpoint } = federation;
  const form = new URLSearchParams({
    Action: "AssumeRoleWithWebIdentity",
    Version: "2011-06-15",
    RoleArn: roleArn,
    RoleSessionName: sessionName,
    DurationSeconds: String(SESSION_S),
    WebIdentityToken: await identity(audience, signal),
  });
  const url = endpoint ?? stsOf(roleArn, region);
  const headers = { "content-type": "application/x-www-form-urlencoded" };
  const text = await exchange(STS, url, { body: form.toString(), headers, signal }, fetch);
  const session = Session.safeParse({
    accessKeyId: elementOf(text, "AccessKeyId"),
    secretAccessKey: elementOf(text, "SecretAccessKey"),
    sessionToken: elementOf(text, "SessionToken"),
    expiresAt: elementOf(text, "Expiration"),
  });
  if (!session.success) throw notAnAnswer(STS);
  return session.data;
}

/** STS answers in XML whose values, names and base64, need no unescaping. */
function elementOf(xml: string, name: string): string | undefined {
  return new RegExp(`<${name}>([^<&]*)</${name}>`).exec(xml)?.[1]?.trim();
}

/** Domains of partitions that have another one than `aws`; the isolated ones need an `endpoint`. */
const DOMAINS: Readonly<Record<string, string>> = {
  "aws-cn": "amazonaws.com.cn",
  "aws-eusc": "amazonaws.eu",
};

function stsOf(roleArn: string, region: string): string {
  const partition = roleArn.split(":")[1] ?? "";
  return `https://sts.${region}.${DOMAINS[partition] ?? "amazonaws.com"}/`;
}
