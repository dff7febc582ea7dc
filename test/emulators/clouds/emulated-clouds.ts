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
import { startFakeKeyVault } from "../azure-key-vault-server.ts";
import { type GoogleKmsFake, startGoogleKmsFake } from "../google-kms-fake.ts";
import { forward, type LoopbackServer, startLoopbackServer } from "../loopback-server.ts";

/**
 * Three clouds, all of them our fakes, and so are all that give tokens to the broker's own identity. Each cloud takes
 * only what its own fake has given.
 */
interface EmulatedClouds {
  /** A new key in each, as members of a KEK. */
  createMembers(): Record<"aws" | "gcp" | "az", Readonly<Record<string, unknown>>>;
  /** As the configuration has it. */
  readonly identity: { readonly issuer: { readonly url: string; readonly subject: string } };
  /** For KEK_BROKER_SIGNING_KEY. */
  readonly signingKey: string;
  readonly aws: FakeAwsKms;
  readonly google: GoogleKmsFake;
  readonly vault: FakeKeyVault;
  close(): Promise<void>;
}

/** Under their own names, as a Worker reaches them by `fetch`. */
export interface NamedClouds extends EmulatedClouds {
  /** How often each host was asked. */
  readonly asked: ReadonlyMap<string, number>;
  answer(request: Request): Promise<Response>;
}

/** On ports of this machine, for brokers that are processes. */
export interface LoopbackClouds extends EmulatedClouds {
  /** What the vault's certificate is trusted by, in PEM: for NODE_EXTRA_CA_CERTS. */
  readonly ca: string;
}

type Answering = (request: Request) => Promise<Response>;

const VAULT = "https://kek-test.vault.azure.net";

export async function startNamedClouds(): Promise<NamedClouds> {
  const clouds = await startClouds();
  const vault = new FakeKeyVault({ url: VAULT, ...clouds.vaultOptions });
  const hosts: Readonly<Record<string, Answering>> = {
    "kms.us-east-1.amazonaws.com": clouds.kmsOfAws,
    "sts.us-east-1.amazonaws.com": clouds.tokensOf.aws,
    "cloudkms.googleapis.com": (request) => sendOn(request, clouds.google.restUrl),
    "sts.googleapis.com": clouds.tokensOf.google,
    "iamcredentials.googleapis.com": clouds.tokensOf.google,
    "login.microsoftonline.com": clouds.tokensOf.azure,
    [new URL(VAULT).host]: (request) => vault.handle(request),
  };
  const asked = new Map<string, number>();
  return {
    ...clouds.shared,
    vault,
    createMembers: () => clouds.createMembers(vault),
    asked,
    answer: (request) => {
      const { host } = new URL(request.url);
      asked.set(host, (asked.get(host) ?? 0) + 1);
      const answer = hosts[host];
      return answer === undefined ? Promise.reject(new Error(`nobody is ${host}`)) : answer(request);
    },
    close: () => clouds.google.close(),
  };
}

export async function startLoopbackClouds(): Promise<LoopbackClouds> {
  const clouds = await startClouds();
  const [vault, kms, sts, googleSts, entra] = await Promise.all([
    startFakeKeyVault(clouds.vaultOptions),
    serve(clouds.kmsOfAws),
    serve(clouds.tokensOf.aws),
    serve(clouds.tokensOf.google),
    serve(clouds.tokensOf.azure),
  ]);
  return {
    ...clouds.shared,
    vault: vault.vault,
    ca: vault.ca,
    createMembers: () =>
      clouds.createMembers(vault.vault, {
        aws: { endpoint: kms.url, sts: sts.url },
        gcp: { endpoint: clouds.google.grpcUrl, sts: googleSts.url },
        az: { authority: entra.url },
      }),
    close: async () => {
      const servers = [vault, kms, sts, googleSts, entra, clouds.google];
      await Promise.all(servers.map((server) => server.close()));
    },
  };
}

/** Where clouds are that are not under their own names. */
interface Endpoints {
  readonly aws: { readonly endpoint: string; readonly sts: string };
  readonly gcp: { readonly endpoint: string; readonly sts: string };
  readonly az: { readonly authority: string };
}

async function startClouds() {
  const trust = { trusted: publishedIssuer(published()).trusted, now: Date.now };
  const [sts, googleSts, entra] = [awsFake(trust), googleFake(trust), entraFake(trust)];
  const aws = new FakeAwsKms();
  const google = await startGoogleKmsFake({
    accepts: (token = "") => googleSts.tokenOf(token)?.principal === SERVICE_ACCOUNT,
  });
  const kmsOfAws: Answering = async (request) => {
    const [, accessKeyId = ""] =
      /Credential=([^/]+)\//.exec(request.headers.get("authorization") ?? "") ?? [];
    const token = request.headers.get("x-amz-security-token") ?? "";
    if (sts.sessionOf(accessKeyId, token) !== undefined) return aws.handle(request);
    return Response.json({ __type: "UnrecognizedClientException" }, { status: 400 });
  };
  return {
    google,
    kmsOfAws,
    tokensOf: {
      aws: (request: Request) => sts.handle(request),
      google: (request: Request) => googleSts.handle(request),
      azure: (request: Request) => entra.handle(request),
    },
    vaultOptions: {
      tenant: TENANT,
      acceptToken: (token: string) => entra.tokenOf(token)?.resource === "https://vault.azure.net",
    },
    shared: {
      identity: { issuer: { url: ISSUER, subject: SUBJECT } },
      signingKey: JSON.stringify(KEY),
      aws,
      google,
    },
    createMembers: (vault: FakeKeyVault, at?: Endpoints) => ({
      aws: {
        awsKms: {
          keyArn: aws.createKey(),
          endpoint: at?.aws.endpoint,
          federation: { roleArn: ROLE, endpoint: at?.aws.sts },
        },
      },
      gcp: {
        gcpKms: {
          cryptoKey: google.admin.createKey(),
          endpoint: at?.gcp.endpoint,
          federation: { provider: PROVIDER, serviceAccount: SERVICE_ACCOUNT, endpoint: at?.gcp.sts },
        },
      },
      az: {
        azureKeyVault: {
          keyUrl: vault.createKey({ kty: "RSA", bits: 2048 }),
          federation: { tenantId: TENANT, clientId: CLIENT, authority: at?.az.authority },
        },
      },
    }),
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

/** A fake on a port of its own. */
export function serve(answer: Answering): Promise<LoopbackServer> {
  return startLoopbackServer(async ({ method, path, headers, body }) => {
    const flat = Object.entries(headers).map(([name, value]): [string, string] => [name, String(value)]);
    const response = await answer(
      new Request(`http://127.0.0.1${path}`, {
        method,
        headers: flat,
        ...(method !== "GET" && { body: new Uint8Array(body) }),
      }),
    );
    return {
      status: response.status,
      headers: Object.fromEntries(response.headers),
      body: Buffer.from(await response.arrayBuffer()),
    };
  });
}
