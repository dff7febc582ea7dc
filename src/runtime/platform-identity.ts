import type { TokenCredential } from "@azure/core-auth";

import { fromCredentialError } from "../kms/azure-error.ts";
import type { IdentityTokenSource } from "../kms/identity/identity-token.ts";
import { ProviderError, type ProviderErrorCode } from "../kms/key-provider.ts";
import { untilAborted } from "../kms/until-aborted.ts";

/** Seconds. Exchanged at once, so no more than clocks and networks need. */
const LIFETIME_S = 300;

/** The token that the platform itself gives, by the clouds' own libraries, loaded on first use. */
export function platformIdentity(
  platform: "aws" | "google" | "azure",
  env: NodeJS.ProcessEnv,
): IdentityTokenSource {
  switch (platform) {
    case "aws":
      return awsIdentity();
    case "google":
      return googleIdentity();
    case "azure":
      return azureIdentity(env["AZURE_CLIENT_ID"]);
  }
}

const AWS_CODES: ReadonlyMap<string, ProviderErrorCode> = new Map([
  ["AccessDenied", "AccessDenied"],
  ["CredentialsProviderError", "AccessDenied"],
  ["ExpiredToken", "AccessDenied"],
  ["InvalidClientTokenId", "AccessDenied"],
  ["OutboundWebIdentityFederationDisabledException", "AccessDenied"],
  ["SessionDurationEscalationException", "AccessDenied"],
  ["SignatureDoesNotMatch", "AccessDenied"],
  ["Throttling", "Throttled"],
]);

/** STS signs a token for the role that the broker runs as. Not at its global endpoint, so a region is needed. */
function awsIdentity(): IdentityTokenSource {
  const connect = async () => {
    const sdk = await import("@aws-sdk/client-sts");
    return { sdk, client: new sdk.STSClient({ maxAttempts: 2 }) };
  };
  let connection: ReturnType<typeof connect> | undefined;
  return (audience, signal) =>
    named("AWS STS GetWebIdentityToken", AWS_CODES, signal, async () => {
      connection ??= connect();
      const { sdk, client } = await connection;
      const command = new sdk.GetWebIdentityTokenCommand({
        Audience: [audience],
        // What Entra takes; it refuses the other that STS offers.
        SigningAlgorithm: "RS256",
        DurationSeconds: LIFETIME_S,
      });
      return (await client.send(command, { abortSignal: signal })).WebIdentityToken;
    });
}

/** The metadata server's identity token of the service account that the broker runs as. */
function googleIdentity(): IdentityTokenSource {
  const connect = async () => new (await import("google-auth-library")).Compute();
  let connection: ReturnType<typeof connect> | undefined;
  return (audience, signal) =>
    named("Google metadata identity token", new Map(), signal, async () => {
      connection ??= connect();
      return (await connection).fetchIdToken(encodeURIComponent(audience));
    });
}

/** A managed identity's token; its audience must be the identifier of an application that Entra knows. */
function azureIdentity(clientId: string | undefined): IdentityTokenSource {
  const connect = async (): Promise<TokenCredential> => {
    const { ManagedIdentityCredential } = await import("@azure/identity");
    return new ManagedIdentityCredential(clientId === undefined ? {} : { clientId });
  };
  let connection: ReturnType<typeof connect> | undefined;
  return (audience, signal) =>
    named("Azure managed identity token", new Map(), signal, async () => {
      connection ??= connect();
      try {
        return (await (await connection).getToken(`${audience}/.default`, { abortSignal: signal }))?.token;
      } catch (error) {
        throw fromCredentialError(error);
      }
    });
}

/** Asks for a token; what a library throws leaves as a code, and its name only if it is known here. */
async function named(
  what: string,
  codes: ReadonlyMap<string, ProviderErrorCode>,
  signal: AbortSignal,
  ask: () => Promise<string | null | undefined>,
): Promise<string> {
  let token: string | null | undefined;
  try {
    token = await untilAborted(signal, ask());
  } catch (error) {
    if (error instanceof ProviderError) throw error;
    const name = error instanceof Error ? error.name : "";
    const known = codes.get(name);
    const status = statusOf(error);
    const reason =
      known !== undefined
        ? name
        : isNoRegion(error)
          ? "no region: set AWS_REGION"
          : `HTTP ${status ?? "none"}`;
    throw new ProviderError(known ?? codeOf(status, error), `${what}: ${reason}`);
  }
  if (typeof token === "string" && token !== "") return token;
  throw new ProviderError("Unavailable", `${what}: an empty answer`);
}

function codeOf(status: number | undefined, error: unknown): ProviderErrorCode {
  if (isNoRegion(error)) return "AccessDenied";
  if (status === 429) return "Throttled";
  return status !== undefined && status >= 400 && status < 500 ? "AccessDenied" : "Unavailable";
}

function isNoRegion(error: unknown): boolean {
  return error instanceof Error && error.message === "Region is missing";
}

/** Of the AWS SDK's errors, or of gaxios'. */
function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null) return undefined;
  const metadata: unknown = "$metadata" in error ? error.$metadata : undefined;
  if (typeof metadata === "object" && metadata !== null && "httpStatusCode" in metadata) {
    return Number(metadata.httpStatusCode);
  }
  return "status" in error && typeof error.status === "number" ? error.status : undefined;
}
