import { randomBytes, randomUUID } from "node:crypto";

import { type Claims, RefusedToken, tokenCheck, type TrustedIssuer } from "./identity-token-check.ts";

/** An IAM OpenID Connect identity provider, and roles that trust it under conditions on `aud` and `sub`. */
export interface AwsFakeOptions {
  readonly account: string;
  readonly provider: TrustedIssuer & { readonly clientIds: readonly string[] };
  readonly roles: Readonly<
    Record<string, { readonly aud: string; readonly sub: string; readonly maxS?: number }>
  >;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

interface AwsSessionSeen {
  readonly roleArn: string;
  readonly sessionName: string;
  readonly durationS: number;
  readonly subject: string;
}

export interface IdentityAwsFake {
  readonly handle: (request: Request) => Promise<Response>;
  /** Sessions given, oldest first. */
  readonly sessions: readonly AwsSessionSeen[];
  /** Whose session the credentials are; `undefined` once it has ended. */
  sessionOf(accessKeyId: string, sessionToken: string): AwsSessionSeen | undefined;
}

const NAMESPACE = "https://sts.amazonaws.com/doc/2011-06-15/";

class StsError extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, code: string, message: string) {
    super(message);
    this.status = status;
    this.code = code;
  }
}

/**
 * A fake of AWS STS' AssumeRoleWithWebIdentity, after its API reference: query protocol in, XML out. It checks the
 * token as AWS does, and its errors have AWS's codes, statuses and shape.
 */
export function createIdentityAwsFake(options: AwsFakeOptions): IdentityAwsFake {
  const { provider, roles, now } = options;
  const check = tokenCheck(provider, ["RS256", "ES256", "ES384"], now);
  const sessions: AwsSessionSeen[] = [];
  const given = new Map<string, { readonly seen: AwsSessionSeen; readonly endsAt: number }>();

  const assume = async (form: URLSearchParams): Promise<string> => {
    const roleArn = parameter(form, "RoleArn", /^arn:aws:iam::[0-9]{12}:role\/[\w+=,.@/-]+$/);
    const sessionName = parameter(form, "RoleSessionName", /^[\w+=,.@-]{2,64}$/);
    const token = parameter(form, "WebIdentityToken", /^[^]{4,20000}$/);
    const durationS = Number(form.get("DurationSeconds") ?? "3600");
    if (!Number.isInteger(durationS) || durationS < 900 || durationS > 43_200) {
      const message = `1 validation error detected: Value '${durationS}' at 'durationSeconds' failed to satisfy constraint`;
      throw new StsError(400, "ValidationError", message);
    }
    const { sub, aud } = await claimsOf(token);
    const audience = provider.clientIds.find((id) => aud.includes(id));
    if (audience === undefined) throw new StsError(400, "InvalidIdentityToken", "Incorrect token audience");
    const role = roles[roleArn];
    if (role === undefined || role.aud !== audience || role.sub !== sub) {
      throw new StsError(403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity");
    }
    if (durationS > (role.maxS ?? 3600)) {
      const message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.";
      throw new StsError(400, "ValidationError", message);
    }
    const seen = { roleArn, sessionName, durationS, subject: sub };
    sessions.push(seen);
    const credentials = {
      accessKeyId: `ASIA${randomBytes(8).toString("hex").toUpperCase()}`,
      secretAccessKey: randomBytes(30).toString("base64"),
      sessionToken: randomBytes(96).toString("base64"),
    };
    const endsAt = now() + durationS * 1000;
    given.set(`${credentials.accessKeyId} ${credentials.sessionToken}`, { seen, endsAt });
    return answerOf(options.account, seen, audience, provider.issuer, credentials, new Date(endsAt));
  };

  const claimsOf = async (token: string): Promise<Claims> => {
    try {
      return await check(token);
    } catch (error) {
      throw error instanceof RefusedToken ? refusalOf(error, now()) : error;
    }
  };

  return {
    sessions,
    sessionOf: (accessKeyId, sessionToken) => {
      const session = given.get(`${accessKeyId} ${sessionToken}`);
      return session !== undefined && session.endsAt > now() ? session.seen : undefined;
    },
    handle: async (request) => {
      const requestId = randomUUID();
      const headers = { "content-type": "text/xml", "x-amzn-requestid": requestId };
      try {
        const form = new URLSearchParams(await request.text());
        if (request.method !== "POST" || form.get("Version") !== "2011-06-15") {
          throw new StsError(400, "InvalidAction", "Could not find operation for this version");
        }
        if (form.get("Action") !== "AssumeRoleWithWebIdentity") {
          throw new StsError(403, "MissingAuthenticationToken", "Request is missing Authentication Token");
        }
        const metadata = `<ResponseMetadata><RequestId>${requestId}</RequestId></ResponseMetadata>`;
        const result = await assume(form);
        const body = `<AssumeRoleWithWebIdentityResponse xmlns="${NAMESPACE}">${result}${metadata}</AssumeRoleWithWebIdentityResponse>`;
        return new Response(body, { headers });
      } catch (error) {
        if (!(error instanceof StsError)) throw error;
        const { status, code, message } = error;
        const body = `<ErrorResponse xmlns="${NAMESPACE}">
  <Error>
    <Type>Sender</Type>
    <Code>${code}</Code>
    <Message>${message.replaceAll("<", "&lt;")}</Message>
  </Error>
  <RequestId>${requestId}</RequestId>
</ErrorResponse>`;
        return new Response(body, { status, headers });
      }
    },
  };
}

function parameter(form: URLSearchParams, name: string, pattern: RegExp): string {
  const value = form.get(name);
  if (value !== null && pattern.test(value)) return value;
  throw new StsError(
    400,
    "ValidationError",
    `1 validation error detected: Value at '${name}' failed to satisfy constraint`,
  );
}

function refusalOf({ refusal, claims }: RefusedToken, now: number): StsError {
  switch (refusal) {
    case "issuer":
      return new StsError(
        400,
        "InvalidIdentityToken",
        `No OpenIDConnect provider found in your account for ${claims?.iss ?? ""}`,
      );
    case "issuer-unreachable":
      return new StsError(
        400,
        "InvalidIdentityToken",
        "Couldn't retrieve verification key from your identity provider,  please reference AssumeRoleWithWebIdentity documentation for requirements",
      );
    case "expired": {
      const [time, end] = [Math.floor(now / 1000), claims?.exp ?? 0];
      const message = `Token expired: current date/time ${time} must be before the expiration date/time ${end}`;
      return new StsError(400, "ExpiredTokenException", message);
    }
    case "malformed":
      return new StsError(
        400,
        "InvalidIdentityToken",
        "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
      );
    case "algorithm":
    case "key":
    case "signature":
    case "not-yet":
      return new StsError(
        400,
        "InvalidIdentityToken",
        "The web identity token provided could not be validated.",
      );
  }
}

function answerOf(
  account: string,
  { roleArn, sessionName, subject }: AwsSessionSeen,
  audience: string,
  issuer: string,
  keys: { readonly accessKeyId: string; readonly secretAccessKey: string; readonly sessionToken: string },
  ends: Date,
): string {
  const role = roleArn.slice(roleArn.lastIndexOf("/") + 1);
  return `<AssumeRoleWithWebIdentityResult>
    <SubjectFromWebIdentityToken>${subject}</SubjectFromWebIdentityToken>
    <Audience>${audience}</Audience>
    <AssumedRoleUser>
      <Arn>arn:aws:sts::${account}:assumed-role/${role}/${sessionName}</Arn>
      <AssumedRoleId>AROACLKWSDQRAOEXAMPLE:${sessionName}</AssumedRoleId>
    </AssumedRoleUser>
    <Credentials>
      <SessionToken>${keys.sessionToken}</SessionToken>
      <SecretAccessKey>${keys.secretAccessKey}</SecretAccessKey>
      <Expiration>${ends.toISOString().replace(/\.\d+Z$/, "Z")}</Expiration>
      <AccessKeyId>${keys.accessKeyId}</AccessKeyId>
    </Credentials>
    <Provider>arn:aws:iam::${account}:oidc-provider/${issuer.replace("https://", "")}</Provider>
  </AssumeRoleWithWebIdentityResult>`;
}
