import { exportJWK, generateKeyPair, importJWK } from "jose";
import { describe, expect, it } from "vitest";

import {
  AUDIENCE,
  configInput,
  ISSUER,
  keys,
  makeHarness,
  NOW,
  oidcToken,
  PLAINTEXT,
  problemCode,
  stillServes,
  SUBJECT,
  wrap,
  type Mistakes,
} from "./fixture.ts";

const seconds = NOW / 1000;
const harness = makeHarness();

async function wrapAs(mistakes: Mistakes, on = harness) {
  return wrap(on, { mistakes: { token: await oidcToken(mistakes) } });
}

describe("an issuer's token is refused", () => {
  const cases: [string, Mistakes, string, string][] = [
    [
      "of an unknown issuer",
      { claims: { iss: "https://else.example" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    [
      "of an issuer that only begins alike",
      { claims: { iss: `${ISSUER}/` } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    [
      "of an issuer in other letters",
      { claims: { iss: ISSUER.toUpperCase() } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    ["without iss", { claims: { iss: undefined } }, "AuthenticationFailed", "unknown-principal"],
    [
      "of an unknown subject",
      { claims: { sub: "system:serviceaccount:default:pod" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    [
      "of a subject that only begins alike",
      { claims: { sub: `${SUBJECT}-2` } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    ["without sub", { claims: { sub: undefined } }, "AuthenticationFailed", "unknown-principal"],
    ["with a list as sub", { claims: { sub: [SUBJECT] } }, "AuthenticationFailed", "unknown-principal"],
    ["for another audience", { claims: { aud: "kubernetes" } }, "AuthenticationFailed", "wrong-audience"],
    [
      "for several audiences",
      { claims: { aud: [AUDIENCE, "kubernetes"] } },
      "AuthenticationFailed",
      "wrong-audience",
    ],
    ["without aud", { claims: { aud: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without exp", { claims: { exp: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without iat", { claims: { iat: undefined } }, "AuthenticationFailed", "missing-claim"],
    [
      "that has expired",
      { claims: { iat: seconds - 600, exp: seconds - 6 } },
      "AuthenticationFailed",
      "expired",
    ],
    ["from the future", { claims: { iat: seconds + 6 } }, "ClockSkew", "clock-skew"],
    ["that is not valid yet", { claims: { nbf: seconds + 6 } }, "ClockSkew", "clock-skew"],
    [
      "that lives over an hour",
      { claims: { exp: seconds + 3601 } },
      "AuthenticationFailed",
      "too-long-lived",
    ],
    [
      "with the typ of a node assertion",
      { header: { typ: "kek-node+jwt" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    [
      "with the typ of a logout token",
      { header: { typ: "logout+jwt" } },
      "AuthenticationFailed",
      "wrong-type",
    ],
    ["with an unknown kid", { header: { kid: "k9" } }, "AuthenticationFailed", "bad-signature"],
    ["by another issuer's key", { signer: keys.otherIssuer }, "AuthenticationFailed", "bad-signature"],
    [
      "by a node's key",
      { signer: keys.node, header: { kid: undefined } },
      "AuthenticationFailed",
      "bad-signature",
    ],
  ];
  it.each(cases)("%s", async (_, mistakes, code, reason) => {
    const answer = await wrapAs(mistakes);
    expect(problemCode(answer), answer.text).toBe(code);
    expect((JSON.parse(harness.logs.at(-1) ?? "{}") as { reason: string }).reason).toBe(reason);
    expect(await stillServes(harness)).toBe(true);
  });

  it.each(["HS256", "none", "ES384"])("with alg %s", async (alg) => {
    const [, claims, signature] = (await oidcToken()).split(".");
    const header = Buffer.from(JSON.stringify({ alg, kid: "k1" })).toString("base64url");
    const answer = await wrap(harness, { mistakes: { token: `${header}.${claims}.${signature}` } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it.each(["RS384", "RS512", "PS256"])("with alg %s, though the right key signed it", async (algorithm) => {
    const privateKey = await importJWK(await exportJWK(keys.issuer.privateKey), algorithm);
    if (privateKey instanceof Uint8Array) throw new Error("not an RSA key");
    const answer = await wrapAs({ signer: { algorithm, privateKey, jwk: keys.issuer.jwk } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it("by an RSA key under 2,048 bits", async () => {
    const { privateKey, publicKey } = await crypto.subtle.generateKey(
      {
        name: "RSASSA-PKCS1-v1_5",
        modulusLength: 1024,
        publicExponent: Uint8Array.of(1, 0, 1),
        hash: "SHA-256",
      },
      true,
      ["sign", "verify"],
    );
    const weak = makeHarness({ config: withIssuerKeys([{ ...(await exportJWK(publicKey)), kid: "k1" }]) });
    const unsigned = (await oidcToken()).split(".").slice(0, 2).join(".");
    const signature = await crypto.subtle.sign(
      "RSASSA-PKCS1-v1_5",
      privateKey,
      new TextEncoder().encode(unsigned),
    );
    const token = `${unsigned}.${Buffer.from(signature).toString("base64url")}`;
    expect(problemCode(await wrap(weak, { mistakes: { token } }))).toBe("AuthenticationFailed");
    expect((JSON.parse(weak.logs.at(-1) ?? "{}") as { reason: string }).reason).toBe("unusable-key");
  });
});

describe("an issuer's token is accepted", () => {
  const cases: [string, Mistakes][] = [
    ["with typ JWT", {}],
    ["with typ at+jwt", { header: { typ: "at+jwt" } }],
    ["without typ", { header: { typ: undefined } }],
    ["without kid", { header: { kid: undefined } }],
    ["without jti, for an hour", { claims: { exp: seconds + 3600 } }],
    ["with its audience as a list of one", { claims: { aud: [AUDIENCE] } }],
  ];
  it.each(cases)("%s", async (_, mistakes) => {
    const answer = await wrapAs(mistakes);
    expect(answer.status, answer.text).toBe(200);
  });

  it.each(["ES256", "EdDSA"] as const)("by %s", async (alg) => {
    const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
    const jwk = { ...(await exportJWK(publicKey)), kid: "k1" };
    const answer = await wrapAs(
      { signer: { algorithm: alg, privateKey, jwk } },
      makeHarness({ config: withIssuerKeys([jwk]) }),
    );
    expect(answer.status, answer.text).toBe(200);
  });

  it("by the second of two keys without kid", async () => {
    const { kid: _, ...second } = { kid: "", ...keys.issuer.jwk };
    const both = makeHarness({ config: withIssuerKeys([keys.otherIssuer.jwk, second]) });
    const answer = await wrapAs({ header: { kid: undefined } }, both);
    expect(answer.status, answer.text).toBe(200);
  });

  it("and recorded with its issuer as the authority", async () => {
    const recorded = makeHarness();
    await wrapAs({}, recorded);
    expect(recorded.entries[0]).toMatchObject({
      principal: { kind: "oidc", cluster: "prod-eu-1", subject: SUBJECT, authority: ISSUER },
    });
    expect(JSON.stringify(recorded.entries)).not.toContain(PLAINTEXT);
  });
});

function withIssuerKeys(jwks: object[]) {
  const config = configInput();
  const cluster = config.clusters?.["prod-eu-1"];
  if (cluster === undefined) throw new Error("the fixture has no such cluster");
  const identities = [{ oidc: { issuer: ISSUER, subject: SUBJECT, jwks: { keys: jwks } } }] as never;
  return { ...config, clusters: { ...config.clusters, "prod-eu-1": { ...cluster, identities } } };
}
