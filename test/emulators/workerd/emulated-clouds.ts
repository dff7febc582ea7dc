import {
  awsFake,
  CLIENT,
  entraFake,
  googleFake,
  PROVIDER,
  ROLE,
  SERVICE_ACCOUNT,
  TENANT,
} from "../../kms/identity/clouds.ts";
import { ISSUER, KEY, published, publishedIssuer, SUBJECT } from "../../kms/identity/issuer.ts";
import { FakeAwsKms } from "../aws-kms-fake.ts";
import { FakeKeyVault } from "../azure-key-vault-fake.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../google-kms-fake.ts";
import { forward } from "../loopback-server.ts";

/** Three clouds under their own names, as a Worker reaches them by `fetch`. */
export interface EmulatedClouds {
  /** A new key in each, as members of a KEK that the broker's own identity may use. */
  createMembers(): Record<"aws" | "gcp" | "az", MemberOf>;
  /** Of the broker. */
  readonly identity: { readonly issuer: { readonly url: string; readonly subject: string } };
  readonly signingKey: string;
  readonly aws: FakeAwsKms;
  readonly google: GoogleKmsFake;
  readonly vault: FakeKeyVault;
  /** How often each host was asked. */
  readonly asked: ReadonlyMap<string, number>;
  answer(request: Request): Promise<Response>;
  close(): Promise<void>;
}

type MemberOf = Readonly<Record<string, unknown>>;

const VAULT = "https://kek-test.vault.azure.net";

/** All of them our fakes, and so are all that give tokens. Each cloud takes only what its own fake has given. */
export async function startEmulatedClouds(): Promise<EmulatedClouds> {
  const trust = { trusted: publishedIssuer(published()).trusted, now: Date.now };
  const [sts, googleSts, entra] = [awsFake(trust), googleFake(trust), entraFake(trust)];
  const isGoogles = (token = ""): boolean => googleSts.tokenOf(token)?.principal === SERVICE_ACCOUNT;
  const aws = new FakeAwsKms();
  const google = await startGoogleKmsFake({ accepts: isGoogles });
  const vault = new FakeKeyVault({
    url: VAULT,
    tenant: TENANT,
    acceptToken: (token) => entra.tokenOf(token)?.resource === "https://vault.azure.net",
  });
  const asAws = async (request: Request): Promise<Response> => {
    const [, accessKeyId = ""] =
      /Credential=([^/]+)\//.exec(request.headers.get("authorization") ?? "") ?? [];
    const token = request.headers.get("x-amz-security-token") ?? "";
    if (sts.sessionOf(accessKeyId, token) !== undefined) return aws.handle(request);
    return Response.json({ __type: "UnrecognizedClientException" }, { status: 400 });
  };
  const hosts: Readonly<Record<string, (request: Request) => Promise<Response>>> = {
    "kms.us-east-1.amazonaws.com": asAws,
    "sts.us-east-1.amazonaws.com": (request) => sts.handle(request),
    "cloudkms.googleapis.com": (request) => sendOn(request, google.restUrl),
    "sts.googleapis.com": (request) => googleSts.handle(request),
    "iamcredentials.googleapis.com": (request) => googleSts.handle(request),
    "login.microsoftonline.com": (request) => entra.handle(request),
    [new URL(VAULT).host]: (request) => vault.handle(request),
  };
  const asked = new Map<string, number>();
  return {
    createMembers: () => ({
      aws: { awsKms: { keyArn: aws.createKey(), federation: { roleArn: ROLE } } },
      gcp: {
        gcpKms: {
          cryptoKey: google.admin.createKey(),
          federation: { provider: PROVIDER, serviceAccount: SERVICE_ACCOUNT },
        },
      },
      az: {
        azureKeyVault: {
          keyUrl: vault.createKey({ kty: "RSA", bits: 2048 }),
          federation: { tenantId: TENANT, clientId: CLIENT },
        },
      },
    }),
    identity: { issuer: { url: ISSUER, subject: SUBJECT } },
    signingKey: JSON.stringify(KEY),
    aws,
    google,
    vault,
    asked,
    answer: (request) => {
      const { host } = new URL(request.url);
      asked.set(host, (asked.get(host) ?? 0) + 1);
      const answer = hosts[host];
      return answer === undefined ? Promise.reject(new Error(`nobody is ${host}`)) : answer(request);
    },
    close: () => google.close(),
  };
}

/** Passes a request on to where a fake listens. */
export async function sendOn(request: Request, to: string): Promise<Response> {
  const { pathname, search } = new URL(request.url);
  const answer = await forward(to, {
    method: request.method,
    path: `${pathname}${search}`,
    headers: Object.fromEntries(request.headers),
    body: Buffer.from(await request.arrayBuffer()),
  });
  return new Response(new Uint8Array(Buffer.from(answer.body)), {
    status: answer.status,
    headers: { ...answer.headers },
  });
}
