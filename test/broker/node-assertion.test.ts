import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";

import {
  AUDIENCE,
  call,
  keys,
  makeHarness,
  nodeToken,
  NOW,
  oidcToken,
  PLAINTEXT,
  problemCode,
  send,
  STATUS,
  stillServes,
  stateOf,
  configInput,
  unwrap,
  UNWRAP,
  WRAP,
  wrap,
  type Mistakes,
} from "./fixture.ts";

const BODY = JSON.stringify({ plaintext: PLAINTEXT });
const seconds = NOW / 1000;
const emptyHash = createHash("sha256").digest("base64url");
const harness = makeHarness();

function part(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString("base64url");
}

/** A token that no library would make. */
function forged(header: object, claims: object = {}, signature = part("signature")): string {
  const base = {
    iss: "prod-eu-1/cp-1",
    sub: "prod-eu-1/cp-1",
    aud: AUDIENCE,
    iat: seconds,
    exp: seconds + 30,
  };
  return `${part(header)}.${part({ ...base, jti: "x", htm: "POST", htu: WRAP, ...claims })}.${signature}`;
}

/** Signed by HMAC with the node's public key as the secret: the oldest trick against verifiers. */
async function confused(): Promise<string> {
  const unsigned = forged({ alg: "HS256", typ: "kek-node+jwt" }).split(".").slice(0, 2).join(".");
  const { subtle } = crypto;
  const secret = new TextEncoder().encode(JSON.stringify(keys.node.jwk));
  const key = await subtle.importKey("raw", secret, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const tag = await subtle.sign("HMAC", key, new TextEncoder().encode(unsigned));
  return `${unsigned}.${Buffer.from(tag).toString("base64url")}`;
}

describe("a node assertion is refused", () => {
  const byClaims: [string, Mistakes, string, string][] = [
    [
      "with another cluster as issuer",
      { claims: { iss: "prod-us-1/cp-1" } },
      "AuthenticationFailed",
      "bad-signature|wrong-algorithm",
    ],
    [
      "with an unknown issuer",
      { claims: { iss: "nowhere/cp-1" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    [
      "with an object's own property as issuer",
      { claims: { iss: "constructor" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    ["with a number as issuer", { claims: { iss: 7 } }, "AuthenticationFailed", "unknown-principal"],
    ["without iss", { claims: { iss: undefined } }, "AuthenticationFailed", "unknown-principal"],
    [
      "with another node as subject",
      { claims: { sub: "prod-eu-1/cp-2" } },
      "AuthenticationFailed",
      "wrong-subject",
    ],
    [
      "with another cluster's node as subject",
      { claims: { sub: "prod-us-1/cp-1" } },
      "AuthenticationFailed",
      "wrong-subject",
    ],
    ["without sub", { claims: { sub: undefined } }, "AuthenticationFailed", "missing-claim"],
    [
      "for another audience",
      { claims: { aud: "https://else.example" } },
      "AuthenticationFailed",
      "wrong-audience",
    ],
    [
      "for an audience that only begins alike",
      { claims: { aud: `${AUDIENCE}/` } },
      "AuthenticationFailed",
      "wrong-audience",
    ],
    [
      "for two audiences, ours among them",
      { claims: { aud: [AUDIENCE, "https://else.example"] } },
      "AuthenticationFailed",
      "wrong-audience",
    ],
    ["for no audience at all", { claims: { aud: [] } }, "AuthenticationFailed", "wrong-audience"],
    ["without aud", { claims: { aud: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without iat", { claims: { iat: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without exp", { claims: { exp: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without jti", { claims: { jti: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without htm", { claims: { htm: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without htu", { claims: { htu: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["without bh", { claims: { bh: undefined } }, "AuthenticationFailed", "missing-claim"],
    ["with an empty jti", { claims: { jti: "" } }, "AuthenticationFailed", "bad-claim"],
    [
      "with a jti of 129 characters",
      { claims: { jti: "j".repeat(129) } },
      "AuthenticationFailed",
      "bad-claim",
    ],
    ["with a number as jti", { claims: { jti: 1 } }, "AuthenticationFailed", "bad-claim"],
    ["with a text as exp", { claims: { exp: "soon" } }, "AuthenticationFailed", "bad-claim"],
    ["with a text as iat", { claims: { iat: "now" } }, "AuthenticationFailed", "bad-claim"],
    ["with a list as htm", { claims: { htm: ["POST"] } }, "AuthenticationFailed", "bad-claim"],
    ["that has expired", { claims: { iat: seconds - 40, exp: seconds - 10 } }, "ClockSkew", "expired"],
    [
      "that was made too long ago",
      { claims: { iat: seconds - 70, exp: seconds + 30 } },
      "ClockSkew",
      "expired",
    ],
    ["from the future", { claims: { iat: seconds + 6, exp: seconds + 30 } }, "ClockSkew", "clock-skew"],
    ["that is not valid yet", { claims: { nbf: seconds + 6 } }, "ClockSkew", "clock-skew"],
    ["that lives 61 s", { claims: { exp: seconds + 61 } }, "AuthenticationFailed", "too-long-lived"],
    ["that lives for ever", { claims: { exp: 1e300 } }, "AuthenticationFailed", "too-long-lived"],
    ["for another method", { claims: { htm: "GET" } }, "AuthenticationFailed", "wrong-method"],
    ["for the method in lower case", { claims: { htm: "post" } }, "AuthenticationFailed", "wrong-method"],
    ["for another path", { claims: { htu: UNWRAP } }, "AuthenticationFailed", "wrong-path"],
    [
      "for a whole URL",
      { claims: { htu: `http://broker.test${WRAP}` } },
      "AuthenticationFailed",
      "wrong-path",
    ],
    ["for another body", { claims: { bh: emptyHash } }, "AuthenticationFailed", "wrong-body"],
    [
      "sent again with another body",
      { sentBody: '{"plaintext":"AAAA"}' },
      "AuthenticationFailed",
      "wrong-body",
    ],
    ["sent again with white space added", { sentBody: `${BODY} ` }, "AuthenticationFailed", "wrong-body"],
    ["sent again to another KEK", { path: "/v1/keks/other-kek/wrap" }, "AuthenticationFailed", "wrong-path"],
    [
      "sent to the same path with other percent signs",
      { path: WRAP.replace("-", "%2D") },
      "AuthenticationFailed",
      "wrong-path",
    ],
    [
      "by a key that is registered nowhere",
      { signer: keys.stranger },
      "AuthenticationFailed",
      "bad-signature",
    ],
    ["by another cluster's key", { signer: keys.otherCluster }, "AuthenticationFailed", "bad-signature"],
    ["by an RSA key", { signer: keys.issuer }, "AuthenticationFailed", "wrong-algorithm"],
    [
      "with the typ of an access token",
      { header: { typ: "at+jwt" } },
      "AuthenticationFailed",
      "unknown-principal",
    ],
    ["with the typ JWT", { header: { typ: "JWT" } }, "AuthenticationFailed", "unknown-principal"],
    ["without typ", { header: { typ: undefined } }, "AuthenticationFailed", "unknown-principal"],
    [
      "with its whole signature cut off",
      { token: forged({ alg: "ES256", typ: "kek-node+jwt" }, {}, "") },
      "AuthenticationFailed",
      "malformed-token",
    ],
    [
      "with a signature of garbage",
      { token: forged({ alg: "ES256", typ: "kek-node+jwt" }) },
      "AuthenticationFailed",
      "bad-signature",
    ],
    [
      "with alg none",
      { token: forged({ alg: "none", typ: "kek-node+jwt" }, {}, "") },
      "AuthenticationFailed",
      "malformed-token",
    ],
    [
      "with alg none and a signature",
      { token: forged({ alg: "none", typ: "kek-node+jwt" }) },
      "AuthenticationFailed",
      "wrong-algorithm",
    ],
    [
      "with an unknown alg",
      { token: forged({ alg: "ES999", typ: "kek-node+jwt" }) },
      "AuthenticationFailed",
      "wrong-algorithm",
    ],
    ["without alg", { token: forged({ typ: "kek-node+jwt" }) }, "AuthenticationFailed", "malformed-token"],
    [
      "with an unknown critical header",
      { token: forged({ alg: "ES256", typ: "kek-node+jwt", crit: ["exp2"], exp2: 1 }) },
      "AuthenticationFailed",
      "critical-header",
    ],
    [
      "with b64 as a critical header",
      { token: forged({ alg: "ES256", typ: "kek-node+jwt", crit: ["b64"], b64: false }) },
      "AuthenticationFailed",
      "critical-header",
    ],
    [
      "with a number as typ",
      { token: forged({ alg: "ES256", typ: 1 }) },
      "AuthenticationFailed",
      "malformed-token",
    ],
    ["of over 8 KiB", { token: `${"e".repeat(8200)}.e.e` }, "AuthenticationFailed", "oversized-token"],
    ["of one part", { token: "garbage" }, "AuthenticationFailed", "malformed-token"],
    ["of two parts", { token: "a.b" }, "AuthenticationFailed", "malformed-token"],
    ["of four parts", { token: "a.b.c.d" }, "AuthenticationFailed", "malformed-token"],
    ["of five parts, as an encrypted one", { token: "a.b.c.d.e" }, "AuthenticationFailed", "malformed-token"],
    ["that is not base64url", { token: "a+b.c/d.e=" }, "AuthenticationFailed", "malformed-token"],
    [
      "whose header is not JSON",
      { token: `${Buffer.from("{").toString("base64url")}.e30.e30` },
      "AuthenticationFailed",
      "malformed-token",
    ],
    [
      "whose claims are a list",
      { token: `${part({ alg: "ES256", typ: "kek-node+jwt" })}.${part([])}.e30` },
      "AuthenticationFailed",
      "malformed-token",
    ],
    ["that is empty", { headers: { authorization: "Bearer " } }, "AuthenticationFailed", "malformed-token"],
    ["that is missing", { headers: { authorization: undefined } }, "AuthenticationFailed", "no-credentials"],
    [
      "under another scheme",
      { headers: { authorization: "Basic YTpi" } },
      "AuthenticationFailed",
      "malformed-token",
    ],
    [
      "under the scheme of DPoP",
      { headers: { authorization: "DPoP a.b.c" } },
      "AuthenticationFailed",
      "malformed-token",
    ],
  ];

  it.each(byClaims)("%s", async (_, mistakes, code, reason) => {
    const answer = await wrap(harness, { mistakes });
    expect(problemCode(answer), answer.text).toBe(code);
    expect(answer.status).toBe(401);
    expect(answer.headers.get("www-authenticate")).toBe("Bearer");
    const line = JSON.parse(harness.logs.at(-1) ?? "{}") as { reason: string };
    expect(line.reason).toMatch(new RegExp(`^(${reason})$`));
    expect(await stillServes(harness)).toBe(true);
  });

  it("by HMAC with the node's public key as its secret", async () => {
    const answer = await wrap(harness, { mistakes: { token: await confused() } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it("with two Authorization headers", async () => {
    const headers = new Headers({ "content-type": "application/json" });
    const token = await nodeToken("POST", WRAP, BODY);
    for (let times = 0; times < 2; times++) headers.append("authorization", `Bearer ${token}`);
    const request = new Request(`http://broker.test${WRAP}`, { method: "POST", headers, body: BODY });
    expect(problemCode(await send(harness, request))).toBe("AuthenticationFailed");
  });

  it("by another node of the same cluster", async () => {
    const answer = await wrap(harness, { subject: "prod-eu-1/cp-2", mistakes: { signer: keys.node } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it("once the node's registration has ended", async () => {
    const answer = await wrap(harness, { subject: "prod-eu-1/old" });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
    expect(answer.json["detail"]).toContain("notAfter");
  });

  it("with jwk, jku or x5u in its header pointing to its own key", async () => {
    const header = {
      jwk: keys.stranger.jwk,
      jku: "https://evil.example/jwks",
      x5u: "https://evil.example/x5u",
    };
    const answer = await wrap(harness, { mistakes: { signer: keys.stranger, header } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it("in words that tell strangers nothing of who is registered", async () => {
    const unknown = await wrap(harness, { subject: "nowhere/cp-1" });
    const wrongKey = await wrap(harness, { mistakes: { signer: keys.stranger } });
    expect(unknown.json["detail"]).toBe(wrongKey.json["detail"]);
  });

  it("without a word of its claims before the signature is proven", async () => {
    const both = { signer: keys.stranger, claims: { aud: "https://else.example", exp: 1 } };
    const answer = await wrap(harness, { mistakes: both });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
    expect(answer.json["detail"]).not.toContain("aud");
  });
});

describe("a node assertion is accepted", () => {
  const fine: [string, Mistakes][] = [
    ["by either of a node's two keys", { signer: keys.secondNode }],
    ["with the audience as a list of one", { claims: { aud: [AUDIENCE] } }],
    ["at the end of its 60 s", { claims: { iat: seconds - 60, exp: seconds } }],
    ["from a clock 5 s ahead", { claims: { iat: seconds + 5, exp: seconds + 65 } }],
    ["from a clock 5 s behind", { claims: { iat: seconds - 64, exp: seconds - 4 } }],
    ["with claims that mean nothing here", { claims: { scope: "all", epk: {} } }],
    ["with its media type in full", { header: { typ: "application/kek-node+jwt" } }],
    ["with any kid", { header: { kid: "whatever" } }],
    [
      "with jwk and jku in its header, which are not looked at",
      { header: { jku: "https://evil.example", jwk: {} } },
    ],
  ];
  it.each(fine)("%s", async (_, mistakes) => {
    const answer = await wrap(harness, { mistakes });
    expect(answer.status, answer.text).toBe(200);
  });

  it("twice within its life: replay is possible, and said so", async () => {
    const token = await nodeToken("POST", WRAP, BODY);
    for (let times = 0; times < 2; times++) {
      expect((await wrap(harness, { mistakes: { token } })).status).toBe(200);
    }
  });

  it("with the scheme in lower case", async () => {
    const token = await nodeToken("GET", STATUS, "");
    const answer = await call(harness, "GET", STATUS, undefined, {
      mistakes: { headers: { authorization: `bearer ${token}` } },
    });
    expect(answer.status).toBe(200);
  });

  it("over the percent signs as they were sent", async () => {
    const path = WRAP.replace("-", "%2D");
    const answer = await call(harness, "POST", path, { plaintext: PLAINTEXT });
    expect(answer.status, answer.text).toBe(200);
  });
});

describe("the kill switch", () => {
  const revoked = (names: string[]) => {
    const stopped = makeHarness();
    stopped.state = stateOf(configInput({ revoked: names }));
    return stopped;
  };

  it.each([[["prod-eu-1"]], [["prod-eu-1/cp-1"]]])(
    "refuses %s at once, whatever they hold",
    async (names) => {
      const before = makeHarness();
      const { json } = await wrap(before);
      before.state = stateOf(configInput({ revoked: names }));
      const answer = await unwrap(before, json["ciphertext"]);
      expect(answer.status).toBe(403);
      expect(problemCode(answer)).toBe("Revoked");
      expect(before.counted).toContainEqual({
        name: "kek_broker_denials_total",
        labels: { cluster: "prod-eu-1", reason: "revoked" },
      });
    },
  );

  it("leaves other nodes and clusters alone", async () => {
    const one = revoked(["prod-eu-1/cp-2", "prod-us-1"]);
    expect((await wrap(one)).status).toBe(200);
  });

  it("answers only to the genuine caller", async () => {
    const answer = await wrap(revoked(["prod-eu-1"]), { mistakes: { signer: keys.stranger } });
    expect(problemCode(answer)).toBe("AuthenticationFailed");
  });

  it("answers to OIDC callers of a revoked cluster", async () => {
    const answer = await wrap(revoked(["prod-eu-1"]), { mistakes: { token: await oidcToken() } });
    expect(problemCode(answer)).toBe("Revoked");
  });
});
