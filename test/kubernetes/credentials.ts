import { generateKeyPairSync, randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import type { Sandbox } from "./sandbox.ts";

/** What all apiservers of one cluster share. */
export interface Credentials {
  /** The bearer token of an administrator (`system:masters`). */
  readonly token: string;
  readonly tokenFile: string;
  /** Signs and verifies ServiceAccount tokens. */
  readonly serviceAccountKeyFile: string;
}

/** Makes a token and a key and writes them into the sandbox. */
export function makeCredentials(sandbox: Sandbox, cluster: string): Credentials {
  const token = randomBytes(16).toString("hex");
  const tokenFile = sandbox.path(`${cluster}.tokens.csv`);
  writeFileSync(tokenFile, `${token},admin,admin,system:masters\n`, { mode: 0o600 });

  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const serviceAccountKeyFile = sandbox.path(`${cluster}.service-account.pem`);
  const pem = privateKey.export({ type: "sec1", format: "pem" });
  writeFileSync(serviceAccountKeyFile, pem, { mode: 0o600 });

  return { token, tokenFile, serviceAccountKeyFile };
}
