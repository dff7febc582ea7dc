import { beforeAll, describe, expect, it } from "vitest";

import { createAwsProvider } from "../../src/kms/aws.ts";
import { useSandbox } from "../kubernetes/sandbox.ts";
import { KeyAdmin, startMoto } from "./aws-emulators.ts";

const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
const sandbox = useSandbox();
let url: string;
let keyArn: string;
let encryptOnly: { accessKeyId: string; secretAccessKey: string };

beforeAll(async () => {
  ({ url } = await startMoto(sandbox));
  keyArn = await new KeyAdmin(url).createKey();
  encryptOnly = await createUser("wraps-only", "kms:Encrypt");
  // From here on moto checks signatures and policies.
  const { ok } = await fetch(`${url}/moto-api/reset-auth`, { method: "POST", body: "0" });
  if (!ok) throw new Error("moto does not enforce policies");
});

const call = () => ({ signal: AbortSignal.timeout(10_000), requestId: "request-1" });
const open = (credentials: typeof encryptOnly) => createAwsProvider({ keyArn, endpoint: url, credentials });

describe("the broker's own identity at AWS, as moto's IAM judges it", () => {
  it("wraps when it may encrypt, and is denied what it may not", async () => {
    const provider = open(encryptOnly);
    const { wrap } = await provider.wrap(new Uint8Array(32), CONTEXT, call());
    await expect(provider.unwrap(wrap, CONTEXT, call())).rejects.toMatchObject({ code: "AccessDenied" });
    await expect(provider.currentVersion(call())).rejects.toMatchObject({ code: "AccessDenied" });
  });

  it("is denied with a secret that is not its own", async () => {
    const provider = open({ ...encryptOnly, secretAccessKey: "not-the-secret" });
    await expect(provider.wrap(new Uint8Array(32), CONTEXT, call())).rejects.toMatchObject({
      code: "AccessDenied",
    });
  });

  it("is denied when AWS does not know it", async () => {
    const provider = open({ accessKeyId: "AKIANOBODYKNOWSTHIS0", secretAccessKey: "nor-this" });
    await expect(provider.wrap(new Uint8Array(32), CONTEXT, call())).rejects.toMatchObject({
      code: "AccessDenied",
    });
  });
});

async function createUser(name: string, action: string) {
  const policy = { Version: "2012-10-17", Statement: [{ Effect: "Allow", Action: action, Resource: "*" }] };
  await iam({ Action: "CreateUser", UserName: name });
  await iam({
    Action: "PutUserPolicy",
    UserName: name,
    PolicyName: "only",
    PolicyDocument: JSON.stringify(policy),
  });
  const answer = await iam({ Action: "CreateAccessKey", UserName: name });
  const field = (tag: string) => {
    const value = new RegExp(`<${tag}>([^<]+)</${tag}>`).exec(answer)?.[1];
    if (value === undefined) throw new Error(`no ${tag} in moto's answer`);
    return value;
  };
  return { accessKeyId: field("AccessKeyId"), secretAccessKey: field("SecretAccessKey") };
}

/** Three calls do not need another SDK. The scope of the signature is how moto knows the service. */
async function iam(parameters: Record<string, string>): Promise<string> {
  const scope = "anybody/20260101/us-east-1/iam/aws4_request";
  const response = await fetch(url, {
    method: "POST",
    headers: { authorization: `AWS4-HMAC-SHA256 Credential=${scope}, SignedHeaders=host, Signature=none` },
    body: new URLSearchParams({ Version: "2010-05-08", ...parameters }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`moto's IAM: ${text}`);
  return text;
}
