import { generateKeyPairSync, sign } from "node:crypto";

import { describe, expect, it } from "vitest";

import { assumeRole } from "../../../src/kms/identity/aws.ts";
import { exchangeAtEntra } from "../../../src/kms/identity/entra.ts";
import type { Fetch } from "../../../src/kms/identity/exchange.ts";
import { exchangeAtGoogle } from "../../../src/kms/identity/google.ts";
import { createSelfSigned } from "../../../src/kms/identity/self-signed.ts";
import { ProviderError } from "../../../src/kms/key-provider.ts";
import { startLoopbackServer } from "../../emulators/loopback-server.ts";
import {
  awsFake,
  CLIENT,
  CLOUDS,
  entraFake,
  EXCHANGES,
  FAKES,
  googleFake,
  PROVIDER,
  ROLE,
  SCOPE,
  SERVICE_ACCOUNT,
  TENANT,
} from "./clouds.ts";
import {
  clock,
  forged,
  hmacWithPublicKey,
  ISSUER,
  KEY,
  NOW_S,
  OTHER_KEY,
  published,
  publishedIssuer,
  signingKey,
  SUBJECT,
} from "./issuer.ts";

const signal = new AbortController().signal;

function setUp() {
  const { now, pass } = clock();
  const issuer = publishedIssuer(published());
  const trust = { trusted: issuer.trusted, now };
  const identity = createSelfSigned({ url: ISSUER, subject: SUBJECT, key: () => signingKey(), now });
  return { now, pass, issuer, trust, identity };
}

/** Keeps what is sent. */
function spied(handle: Fetch) {
  const requests: Request[] = [];
  const fetch: Fetch = (request) => {
    requests.push(request.clone());
    return handle(request);
  };
  return { requests, fetch };
}

async function failureOf(promise: Promise<unknown>): Promise<ProviderError> {
  const error: unknown = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(ProviderError);
  return error as ProviderError;
}

describe("the broker's own token", () => {
  it("becomes a role's credentials at AWS, where the key is, under a name that says broker and KEK", async () => {
    const { trust, identity, now } = setUp();
    const fake = awsFake(trust);
    const { fetch, requests } = spied(fake.handle);
    const session = await EXCHANGES.AWS({ fetch, now, identity });
    expect(session.expiresAt).toBe((NOW_S + 3600) * 1000);
    expect(requests.map(({ url, method }) => [method, url])).toEqual([
      ["POST", "https://sts.eu-central-1.amazonaws.com/"],
    ]);
    expect(fake.sessionOf(session.accessKeyId, session.sessionToken)).toEqual({
      roleArn: ROLE,
      sessionName: "kek-broker-prod",
      durationS: 3600,
      subject: SUBJECT,
    });
  });

  it.each([
    ["arn:aws-cn:iam::111122223333:role/r", "cn-north-1", "https://sts.cn-north-1.amazonaws.com.cn/"],
    ["arn:aws-us-gov:iam::111122223333:role/r", "us-gov-west-1", "https://sts.us-gov-west-1.amazonaws.com/"],
    ["arn:aws-eusc:iam::111122223333:role/r", "eusc-de-east-1", "https://sts.eusc-de-east-1.amazonaws.eu/"],
  ])("asks STS of the role's partition (%s)", async (roleArn, region, url) => {
    const { identity } = setUp();
    const { fetch, requests } = spied(() => Promise.resolve(new Response(null, { status: 500 })));
    const role = { federation: { roleArn }, region, sessionName: "kek-broker-prod", identity };
    await failureOf(assumeRole(role, { fetch }, signal));
    expect(requests.map((request) => request.url)).toEqual([url]);
  });

  it("becomes the pool's principal at Google, for the KMS alone", async () => {
    const { trust, identity, now } = setUp();
    const fake = googleFake(trust);
    const { fetch, requests } = spied(fake.handle);
    const { token, expiresAt } = await EXCHANGES.Google({ fetch, now, identity });
    expect(expiresAt).toBe((NOW_S + 3600) * 1000);
    expect(requests.map(({ url }) => url)).toEqual(["https://sts.googleapis.com/v1/token"]);
    expect(fake.tokenOf(token)).toMatchObject({
      principal:
        "principal://iam.googleapis.com/projects/123456/locations/global/workloadIdentityPools/kek-broker/subject/kek-broker",
      scopes: ["https://www.googleapis.com/auth/cloudkms"],
    });
  });

  it("becomes a service account at Google where one is named, and the token in between can use no key", async () => {
    const { trust, identity, now } = setUp();
    const fake = googleFake(trust);
    const { fetch, requests } = spied(fake.handle);
    const federation = { provider: PROVIDER, serviceAccount: SERVICE_ACCOUNT };
    const { token, expiresAt } = await exchangeAtGoogle({ federation, identity }, { fetch, now }, signal);
    expect(expiresAt).toBe((NOW_S + 3600) * 1000);
    expect(fake.tokenOf(token)).toMatchObject({
      principal: SERVICE_ACCOUNT,
      scopes: ["https://www.googleapis.com/auth/cloudkms"],
    });
    const between = requests[1]?.headers.get("authorization")?.replace("Bearer ", "") ?? "";
    expect(fake.tokenOf(between)?.scopes).toEqual(["https://www.googleapis.com/auth/iam"]);
    expect(requests[1]?.url).toBe(
      "https://iamcredentials.googleapis.com/v1/projects/-/serviceAccounts/kek-broker%40kek-prod.iam.gserviceaccount.com:generateAccessToken",
    );
  });

  it("becomes an application at Entra", async () => {
    const { trust, identity, now } = setUp();
    const fake = entraFake(trust);
    const { fetch, requests } = spied(fake.handle);
    const { token, expiresAt } = await EXCHANGES.Entra({ fetch, now, identity });
    expect(expiresAt).toBe((NOW_S + 3599) * 1000);
    expect(requests.map(({ url }) => url)).toEqual([
      `https://login.microsoftonline.com/${TENANT}/oauth2/v2.0/token`,
    ]);
    expect(fake.tokenOf(token)).toMatchObject({ clientId: CLIENT, resource: "https://vault.azure.net" });
  });

  it("is made for the audience, and sent to the address, that the configuration names", async () => {
    const { now } = setUp();
    const audiences: string[] = [];
    const identity = (audience: string) => {
      audiences.push(audience);
      return Promise.resolve("a.b.c");
    };
    const { fetch, requests } = spied(() => Promise.resolve(new Response(null, { status: 500 })));
    const at = { audience: "their-own", endpoint: "https://clouds.example.com/x/" };
    const deps = { fetch, now };
    const role = { region: "eu-west-1", sessionName: "kek-broker-p", identity };
    await failureOf(assumeRole({ ...role, federation: { roleArn: ROLE, ...at } }, deps, signal));
    await failureOf(exchangeAtGoogle({ federation: { provider: PROVIDER, ...at }, identity }, deps, signal));
    const federation = { tenantId: TENANT, clientId: CLIENT, audience: "their-own", authority: at.endpoint };
    await failureOf(exchangeAtEntra({ federation, scope: SCOPE, identity }, deps, signal));
    expect(audiences).toEqual(["their-own", "their-own", "their-own"]);
    expect(requests.map(({ url }) => url)).toEqual([
      "https://clouds.example.com/x/",
      "https://clouds.example.com/x/v1/token",
      `https://clouds.example.com/x/${TENANT}/oauth2/v2.0/token`,
    ]);
  });
});

const EC = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
const es256 = (signed: string) => sign("sha256", Buffer.from(signed), { key: EC, dsaEncoding: "ieee-p1363" });

const REFUSED: [
  name: string,
  token: (audience?: string) => string,
  reasons: readonly [string, string, string],
][] = [
  [
    "for another audience",
    () => forged({})("another-audience"),
    ["InvalidIdentityToken", "invalid_grant", "AADSTS700212"],
  ],
  [
    "of another issuer",
    forged({ claims: { iss: `${ISSUER}/` } }),
    ["InvalidIdentityToken", "invalid_grant", "AADSTS700211"],
  ],
  [
    "of another subject",
    forged({ claims: { sub: "Kek-Broker" } }),
    ["AccessDenied", "unauthorized_client", "AADSTS700213"],
  ],
  [
    "that has expired",
    forged({ claims: { iat: NOW_S - 400, exp: NOW_S - 100 } }),
    ["ExpiredTokenException", "invalid_grant", "AADSTS700024"],
  ],
  [
    "of tomorrow",
    forged({ claims: { iat: NOW_S + 86_400, exp: NOW_S + 86_700 } }),
    ["InvalidIdentityToken", "invalid_grant", "AADSTS700024"],
  ],
  [
    "under a kid that is not published",
    forged({ key: OTHER_KEY }),
    ["InvalidIdentityToken", "invalid_grant", "AADSTS7000272"],
  ],
  [
    "by another key under a published kid",
    forged({ key: OTHER_KEY, header: { kid: KEY.kid } }),
    ["InvalidIdentityToken", "invalid_grant", "AADSTS700027"],
  ],
  [
    "without a signature",
    forged({ header: { alg: "none" }, signature: () => Buffer.alloc(0) }),
    ["InvalidIdentityToken", "invalid_request", "AADSTS5002738"],
  ],
  [
    "by HS256 with the public key",
    forged({ header: { alg: "HS256" }, signature: hmacWithPublicKey }),
    ["InvalidIdentityToken", "invalid_request", "AADSTS5002738"],
  ],
  ["that is none", () => "not-a-token", ["InvalidIdentityToken", "invalid_request", "AADSTS50027"]],
];

describe.each(CLOUDS.map((cloud, index) => [cloud, index] as const))("at the fake of %s", (cloud, index) => {
  it.each(REFUSED)("a token %s is refused, and told by its reason alone", async (_name, token, reasons) => {
    const { trust, now } = setUp();
    const fake = FAKES[cloud](trust);
    let made = "";
    const identity = (audience: string) => Promise.resolve((made = token(audience)));
    const failure = await failureOf(EXCHANGES[cloud]({ fetch: fake.handle, now, identity }));
    expect(failure.code).toBe("AccessDenied");
    expect(failure.message.split(": ")[1]).toBe(reasons[index]);
    expect(failure.message).not.toContain(made.slice(0, 20));
    expect(failure.message).not.toMatch(/111122223333|123456|0123|example\.com/);
    expect(failure.cause).toBeUndefined();
  });

  it("a token as the broker signs it is taken: what is refused above is refused for what is forged", async () => {
    const { trust, now } = setUp();
    const token = forged({});
    const fake = FAKES[cloud](trust);
    const identity = (audience: string) => Promise.resolve(token(audience));
    await expect(EXCHANGES[cloud]({ fetch: fake.handle, now, identity })).resolves.toBeDefined();
  });

  it("nothing is taken while the issuer is down", async () => {
    const { trust, now, issuer, identity } = setUp();
    issuer.goDown();
    const failure = await failureOf(EXCHANGES[cloud]({ fetch: FAKES[cloud](trust).handle, now, identity }));
    expect(failure.code).toBe("AccessDenied");
  });

  it("what an issuer signs by ES256 is taken where the cloud takes it, and not at Entra", async () => {
    const { now } = setUp();
    const jwk = { ...EC.export({ format: "jwk" }), d: undefined, kid: "ec", alg: "ES256", use: "sig" };
    const issuer = publishedIssuer(jwk);
    const fake = FAKES[cloud]({ trusted: issuer.trusted, now });
    const token = forged({ header: { alg: "ES256", kid: "ec" }, signature: es256 });
    const made = EXCHANGES[cloud]({
      fetch: fake.handle,
      now,
      identity: (audience) => Promise.resolve(token(audience)),
    });
    if (cloud !== "Entra") await expect(made).resolves.toBeDefined();
    else expect((await failureOf(made)).message).toBe("Entra ID token exchange: AADSTS5002738");
  });
});

describe("Google's impersonation", () => {
  it("is denied to a principal that the service account does not name", async () => {
    const { trust, identity, now } = setUp();
    const federation = { provider: PROVIDER, serviceAccount: "other@kek-prod.iam.gserviceaccount.com" };
    const deps = { fetch: googleFake(trust).handle, now };
    const failure = await failureOf(exchangeAtGoogle({ federation, identity }, deps, signal));
    expect([failure.code, failure.message]).toEqual([
      "AccessDenied",
      "Google IAM Credentials generateAccessToken: PERMISSION_DENIED",
    ]);
  });
});

describe("a broken answer", () => {
  const { identity } = setUp();
  const ANSWERS: [name: string, answer: () => Response | Promise<Response>, code: string][] = [
    ["HTTP 500", () => new Response("<html>", { status: 500 }), "Unavailable"],
    ["HTTP 503", () => new Response(null, { status: 503 }), "Unavailable"],
    ["HTTP 429", () => new Response("slow down", { status: 429 }), "Throttled"],
    ["HTTP 504", () => new Response(null, { status: 504 }), "Timeout"],
    ["HTTP 403 of a proxy", () => new Response("<html>", { status: 403 }), "AccessDenied"],
    [
      "a redirect",
      () => new Response(null, { status: 302, headers: { location: "https://x.example" } }),
      "Unavailable",
    ],
    ["200 without content", () => new Response(""), "Unavailable"],
    ["200 with a page", () => new Response("<html>captive portal</html>"), "Unavailable"],
    ["200 with JSON of something else", () => Response.json({ ok: true }), "Unavailable"],
    ["a body without an end", () => new Response("x".repeat(70_000)), "Unavailable"],
    [
      "no answer",
      () => Promise.reject(new TypeError("fetch failed: connect ECONNREFUSED 10.0.0.1:443")),
      "Unavailable",
    ],
  ];

  it.each(CLOUDS.flatMap((cloud) => ANSWERS.map((answer) => [cloud, ...answer] as const)))(
    "at %s, %s, is a code and holds nothing of it",
    async (cloud, _name, answer, code) => {
      const fetch: Fetch = async () => answer();
      const failure = await failureOf(EXCHANGES[cloud]({ fetch, now: clock().now, identity }));
      expect(failure.code).toBe(code);
      expect(failure.message).not.toMatch(/html|10\.0\.0\.1|x\.example|portal/);
    },
  );

  it.each(CLOUDS)("at %s, none until the deadline, is a timeout", async (cloud) => {
    const late = new AbortController();
    const fetch: Fetch = (request) =>
      new Promise((_resolve, reject) => {
        request.signal.addEventListener("abort", () => reject(new Error("aborted")));
        late.abort();
      });
    const made = EXCHANGES[cloud]({ fetch, now: clock().now, identity, signal: late.signal });
    expect((await failureOf(made)).code).toBe("Timeout");
  });

  it.each(CLOUDS)("at %s, that leads elsewhere, is not followed: the token would go along", async (cloud) => {
    const asked: string[] = [];
    const elsewhere = await startLoopbackServer(({ body }) => {
      asked.push(body.toString());
      return { status: 200, body: "{}" };
    });
    const redirecting = await startLoopbackServer(() => ({
      status: 307,
      headers: { location: elsewhere.url },
      body: "",
    }));
    try {
      const send: Fetch = async (request) => {
        const { method, redirect } = request;
        return fetch(redirecting.url, { method, redirect, body: await request.text() });
      };
      const failure = await failureOf(EXCHANGES[cloud]({ fetch: send, now: clock().now, identity }));
      expect(failure.message).toContain("HTTP 307");
      expect(asked).toEqual([]);
    } finally {
      await Promise.all([redirecting.close(), elsewhere.close()]);
    }
  });

  it.each([
    [403, "AADSTS50196: loop", "Throttled"],
    [400, "AADSTS90033: transient", "Unavailable"],
    [401, "AADSTS7000215: secret abc", "AccessDenied"],
    [400, "something else", "AccessDenied"],
  ])("of Entra is told by its number (%s %s)", async (status, error_description, code) => {
    const fetch: Fetch = () =>
      Promise.resolve(Response.json({ error: "invalid_request", error_description }, { status }));
    const failure = await failureOf(EXCHANGES.Entra({ fetch, now: clock().now, identity }));
    expect(failure.code).toBe(code);
    expect(failure.message).not.toContain("secret");
  });

  it.each([
    ["Throttling", 400, "Throttled"],
    ["IDPCommunicationError", 400, "Unavailable"],
    ["ValidationError", 400, "AccessDenied"],
    ["SomethingNew", 400, "AccessDenied"],
  ])("of AWS is told by its code (%s)", async (name, status, code) => {
    const body = `<ErrorResponse><Error><Code>${name}</Code><Message>a secret</Message></Error></ErrorResponse>`;
    const fetch: Fetch = () => Promise.resolve(new Response(body, { status }));
    const failure = await failureOf(EXCHANGES.AWS({ fetch, now: clock().now, identity }));
    expect(failure.code).toBe(code);
    expect(failure.message).not.toContain("secret");
    expect(failure.message).toContain(name === "SomethingNew" ? "HTTP 400" : name);
  });
});
