import type { ShapeIssue } from "../wire/issue.ts";
import { azureHostOf } from "./cloud-key.ts";
import type { CheckOptions, KnownNames } from "./cross-check.ts";
import type { BrokerConfig, Member } from "./schema.ts";
import { hostOfUrl, isLoopbackHost } from "./values.ts";

/** What a member says of its cloud against where the broker runs, its `identity`, and development's liberties. */
export function checkClouds(config: BrokerConfig, known: KnownNames, options: CheckOptions): ShapeIssue[] {
  const development = options.allowDevelopmentKeys || config.allowDevelopmentKeys;
  const members = Object.entries(config.keks).flatMap(([kek, { members }]) =>
    Object.entries(members).map(([name, member]) => ({ member, path: ["keks", kek, "members", name] })),
  );
  return [
    ...checkIdentity(config, known, options),
    ...members.flatMap(({ member, path }) =>
      [
        ...checkKey(member),
        ...checkAddresses(member, development),
        ...checkCredentials(member, known, options),
      ].map((issue) => ({ ...issue, path: [...path, ...issue.path] })),
    ),
  ];
}

function checkIdentity(config: BrokerConfig, known: KnownNames, { worker }: CheckOptions): ShapeIssue[] {
  const { identity, keks } = config;
  if (identity === undefined) return [];
  if (identity.platform !== undefined && worker !== undefined) {
    const message = "Workers have no identity of their own that clouds know: use issuer";
    return [{ path: ["identity", "platform"], message }];
  }
  const isComplete = known.keks !== undefined && [...known.keks].every((kek) => keks[kek] !== undefined);
  const federated = Object.values(keks).some(({ members }) =>
    Object.values(members).some((member) => federationOf(member) !== undefined),
  );
  if (federated || !isComplete) return [];
  return [{ path: ["identity"], message: "is used by nobody: give a member federation, or leave this out" }];
}

function federationOf({ awsKms, gcpKms, azureKeyVault }: Member) {
  return awsKms?.federation ?? gcpKms?.federation ?? azureKeyVault?.federation;
}

function checkKey({ azureKeyVault: azure }: Member): ShapeIssue[] {
  if (azure?.algorithm !== "A256KW" || azureHostOf(azure.keyUrl) !== "vault") return [];
  const message = "is for symmetric keys, and only a Managed HSM holds those: use RSA-OAEP-256";
  return [{ path: ["azureKeyVault", "algorithm"], message }];
}

/** A request to AWS KMS is signed; those to the other addresses carry a token that whoever hears it can use. */
function checkAddresses(
  { awsKms, gcpKms, azureKeyVault, local }: Member,
  development: boolean,
): ShapeIssue[] {
  const issues: ShapeIssue[] = [];
  const carrying = [
    { path: ["awsKms", "federation", "endpoint"], url: awsKms?.federation?.endpoint },
    { path: ["gcpKms", "endpoint"], url: gcpKms?.endpoint },
    { path: ["gcpKms", "federation", "endpoint"], url: gcpKms?.federation?.endpoint },
    { path: ["azureKeyVault", "federation", "authority"], url: azureKeyVault?.federation?.authority },
  ];
  for (const { path, url } of carrying) {
    if (url === undefined || isHttps(url) || (development && isLoopback(url))) continue;
    issues.push({
      path,
      message: development
        ? "must be https outside this machine"
        : "must be https; http is for development, with allowDevelopmentKeys: true",
    });
  }
  if (development) return issues;
  if (local !== undefined) {
    const message =
      "holds its key in this file: for development only, and then with allowDevelopmentKeys: true";
    issues.push({ path: ["local"], message });
  }
  if (awsKms?.endpoint !== undefined && !isHttps(awsKms.endpoint) && !isLoopback(awsKms.endpoint)) {
    issues.push({ path: ["awsKms", "endpoint"], message: "must be https outside this machine" });
  }
  if (azureKeyVault !== undefined && azureHostOf(azureKeyVault.keyUrl) === "elsewhere") {
    const message =
      "is not on a host of Azure Key Vault: for development only, and then with allowDevelopmentKeys: true";
    issues.push({ path: ["azureKeyVault", "keyUrl"], message });
  }
  return issues;
}

function isHttps(url: string): boolean {
  return new URL(url).protocol === "https:";
}

function isLoopback(url: string): boolean {
  return isLoopbackHost(hostOfUrl(url));
}

function checkCredentials(member: Member, known: KnownNames, { worker }: CheckOptions): ShapeIssue[] {
  const { awsKms, gcpKms, azureKeyVault } = member;
  const issues: ShapeIssue[] = [];
  const clouds = { awsKms, gcpKms, azureKeyVault };
  for (const [kind, key] of Object.entries(clouds)) {
    if (key?.federation !== undefined && !known.identity) {
      issues.push({ path: [kind, "federation"], message: "needs identity: who the broker is to this cloud" });
    }
    if (worker === undefined || key === undefined || key.federation !== undefined) continue;
    if (kind === "awsKms" && worker.awsKeys) continue;
    const or = kind === "awsKms" ? ", or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY" : "";
    issues.push({ path: [kind], message: `needs federation: Workers have no credentials of a cloud${or}` });
  }
  if (worker !== undefined && gcpKms?.transport === "grpc") {
    issues.push({ path: ["gcpKms", "transport"], message: "must be rest: Workers speak no gRPC" });
  }
  return issues;
}
