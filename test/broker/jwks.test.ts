import { exportJWK } from "jose";
import { describe, expect, it } from "vitest";

import type { BrokerConfigInput } from "../../src/config/schema.ts";
import {
  AUDIENCE,
  configInput,
  ISSUER,
  keys,
  makeHarness,
  oidcToken,
  problemCode,
  SUBJECT,
  wrap,
  type Harness,
} from "./fixture.ts";

const DISCOVERY = `${ISSUER}/.well-known/openid-configuration`;
const JWKS = `${ISSUER}/keys`;

type Answers = Record<string, () => Response | Promise<Response>>;

function withIssuer(privateAddresses: string[] = [], issuer = ISSUER): BrokerConfigInput {
  const config = configInput();
  const cluster = config.clusters?.["prod-eu-1"];
  if (cluster === undefined) throw new Error("the fixture has no such cluster");
  const identities = [{ oidc: { issuer, subject: SUBJECT, privateAddresses } }];
  return { ...config, clusters: { "prod-eu-1": { ...cluster, identities } } };
}

async function keySet(kid: string) {
  return { keys: [{ ...keys.issuer.jwk, kid }] };
}

function published(kid = "k1"): Answers {
  return {
    [DISCOVERY]: () => Response.json({ issuer: ISSUER, jwks_uri: JWKS, more: true }),
    [JWKS]: async () => Response.json(await keySet(kid)),
  };
}

/** A broker with an issuer that answers as told. */
function setup(answers: Answers, options: { addresses?: string[]; config?: BrokerConfigInput } = {}) {
  const fetched: string[] = [];
  const issuer = { answers, fetched };
  const { addresses } = options;
  const harness = makeHarness({
    config: options.config ?? withIssuer(),
    deps: {
      fetch: async (url, init) => {
        fetched.push(url);
        expect(init.redirect).toBe("manual");
        return (issuer.answers[url] ?? (() => new Response("", { status: 404 })))();
      },
      ...(addresses && { resolve: async () => addresses }),
    },
  });
  return { harness, issuer };
}

async function wrapAt(harness: Harness, kid = "k1", claims: Record<string, unknown> = {}) {
  const iat = harness.clock / 1000;
  const token = await oidcToken({ header: { kid }, claims: { iat, exp: iat + 600, ...claims } });
  return wrap(harness, { mistakes: { token } });
}

describe("an issuer's published keys", () => {
  it("are found by discovery, once", async () => {
    const { harness, issuer } = setup(published());
    for (let times = 0; times < 3; times++) expect((await wrapAt(harness)).status).toBe(200);
    expect(issuer.fetched).toEqual([DISCOVERY, JWKS]);
  });

  it("are fetched once for callers at the same time", async () => {
    const { harness, issuer } = setup(published());
    const answers = await Promise.all(Array.from({ length: 8 }, () => wrapAt(harness)));
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200));
    expect(issuer.fetched).toHaveLength(2);
  });

  it("are not fetched for strangers, whatever they claim", async () => {
    const { harness, issuer } = setup(published());
    await wrapAt(harness, "k1", { sub: "somebody" });
    await wrapAt(harness, "k1", { iss: "https://evil.example" });
    expect(issuer.fetched).toEqual([]);
  });

  it("are fetched anew for an unknown kid, but not more often than each 30 s", async () => {
    const { harness, issuer } = setup(published("k1"));
    await wrapAt(harness);
    issuer.answers = published("k2");
    expect(problemCode(await wrapAt(harness, "k2"))).toBe("AuthenticationFailed");
    expect(issuer.fetched).toHaveLength(2);
    harness.clock += 30_000;
    expect((await wrapAt(harness, "k2")).status).toBe(200);
    expect(problemCode(await wrapAt(harness, "k3"))).toBe("AuthenticationFailed");
    expect(issuer.fetched).toHaveLength(4);
  });

  it("are fetched anew behind a request once they are ten minutes old", async () => {
    const { harness, issuer } = setup(published());
    await wrapAt(harness);
    harness.clock += 600_001;
    expect((await wrapAt(harness)).status).toBe(200);
    expect(issuer.fetched).toHaveLength(4);
  });

  it("are fetched for an unknown kid 30 s after the clock was set back, however far", async () => {
    const { harness, issuer } = setup(published("k1"));
    await wrapAt(harness);
    harness.clock -= 3_600_000;
    expect((await wrapAt(harness)).status).toBe(200);
    issuer.answers = published("k2");
    harness.clock += 30_000;
    expect((await wrapAt(harness, "k2")).status).toBe(200);
  });

  it("are fetched anew ten minutes after the clock was set back", async () => {
    const { harness, issuer } = setup(published("k1"));
    await wrapAt(harness);
    harness.clock -= 3_600_000;
    await wrapAt(harness);
    harness.clock += 600_001;
    await wrapAt(harness);
    expect(issuer.fetched).toHaveLength(4);
  });

  it("are kept for a day while the issuer is down, and no longer", async () => {
    const { harness, issuer } = setup(published());
    await wrapAt(harness);
    issuer.answers = {};
    harness.clock += 86_400_000;
    expect((await wrapAt(harness)).status).toBe(200);
    harness.clock += 1;
    const answer = await wrapAt(harness);
    expect([answer.status, problemCode(answer)]).toEqual([503, "DependencyTimeout"]);
  });

  it("are tried again five seconds after a first failure", async () => {
    const { harness, issuer } = setup({});
    expect(problemCode(await wrapAt(harness))).toBe("DependencyTimeout");
    issuer.answers = published();
    expect(problemCode(await wrapAt(harness))).toBe("DependencyTimeout");
    harness.clock += 5000;
    expect((await wrapAt(harness)).status).toBe(200);
  });

  it("are waited for no longer than the caller has time", async () => {
    const { harness } = setup({ [DISCOVERY]: () => new Promise<Response>(() => {}) });
    const headers = { "x-timeout-ms": "600" };
    const answer = await wrap(harness, { mistakes: { token: await oidcToken(), headers } });
    expect(problemCode(answer)).toBe("DependencyTimeout");
  });

  const bad: [string, Answers][] = [
    [
      "another issuer's discovery document",
      { ...published(), [DISCOVERY]: () => Response.json({ issuer: `${ISSUER}/x`, jwks_uri: JWKS }) },
    ],
    [
      "keys on another host",
      {
        ...published(),
        [DISCOVERY]: () => Response.json({ issuer: ISSUER, jwks_uri: "https://evil.example/keys" }),
      },
    ],
    [
      "keys on another port",
      {
        ...published(),
        [DISCOVERY]: () => Response.json({ issuer: ISSUER, jwks_uri: `${ISSUER}:8443/keys` }),
      },
    ],
    [
      "keys without https",
      {
        ...published(),
        [DISCOVERY]: () => Response.json({ issuer: ISSUER, jwks_uri: "http://issuer.example.test/keys" }),
      },
    ],
    [
      "keys behind credentials",
      {
        ...published(),
        [DISCOVERY]: () =>
          Response.json({ issuer: ISSUER, jwks_uri: "https://a:b@issuer.example.test/keys" }),
      },
    ],
    [
      "a jwks_uri that is none",
      { ...published(), [DISCOVERY]: () => Response.json({ issuer: ISSUER, jwks_uri: "keys" }) },
    ],
    ["no jwks_uri", { ...published(), [DISCOVERY]: () => Response.json({ issuer: ISSUER }) }],
    [
      "a redirect of the discovery",
      {
        ...published(),
        [DISCOVERY]: () =>
          Response.json(
            { issuer: ISSUER, jwks_uri: JWKS },
            { status: 302, headers: { location: "https://issuer.example.test/x" } },
          ),
      },
    ],
    [
      "a redirect of the keys",
      {
        ...published(),
        [JWKS]: async () => Response.json(await keySet("k1"), { status: 307, headers: { location: JWKS } }),
      },
    ],
    [
      "an error page",
      { ...published(), [JWKS]: async () => Response.json(await keySet("k1"), { status: 500 }) },
    ],
    ["no JSON", { ...published(), [JWKS]: () => new Response("<html>") }],
    ["no body", { ...published(), [JWKS]: () => new Response(null) }],
    ["no keys", { ...published(), [JWKS]: () => Response.json({ keys: [] }) }],
    ["keys that are a list", { ...published(), [JWKS]: () => Response.json([]) }],
    [
      "over 64 KiB",
      { ...published(), [JWKS]: async () => new Response(JSON.stringify(await keySet("k1")).padEnd(65_537)) },
    ],
    ["a broken connection", { ...published(), [JWKS]: () => Promise.reject(new Error("ECONNRESET")) }],
  ];
  it.each(bad)("are not had from %s", async (_, answers) => {
    const { harness, issuer } = setup(answers);
    const answer = await wrapAt(harness);
    expect(issuer.fetched.filter((url) => url !== DISCOVERY && url !== JWKS)).toEqual([]);
    expect([answer.status, problemCode(answer)], answer.text).toEqual([503, "DependencyTimeout"]);
    expect(harness.counted).toContainEqual({
      name: "kek_broker_issuer_key_fetches_total",
      labels: { issuer: ISSUER, result: "failed" },
    });
  });

  it("may not be private keys", async () => {
    const leaked = { ...(await exportJWK(keys.issuer.privateKey)), kid: "k1" };
    const { harness } = setup({ ...published(), [JWKS]: () => Response.json({ keys: [leaked] }) });
    expect((await wrapAt(harness)).status).toBe(401);
  });

  it.each([["10.0.0.7"], ["127.0.0.1"], ["169.254.169.254"], ["::1"], ["fd00::1"]])(
    "are not fetched from %s",
    async (address) => {
      const { harness, issuer } = setup(published(), { addresses: ["93.184.215.14", address] });
      expect(problemCode(await wrapAt(harness))).toBe("DependencyTimeout");
      expect(issuer.fetched).toEqual([]);
    },
  );

  it("are fetched from a private address that is listed", async () => {
    const { harness } = setup(published(), { addresses: ["10.0.0.7"], config: withIssuer(["10.0.0.7"]) });
    expect((await wrapAt(harness)).status).toBe(200);
  });

  it("are not fetched from a private address in the issuer's own URL, even where nothing resolves", async () => {
    const issuerUrl = "https://169.254.169.254";
    const { harness, issuer } = setup(published(), { config: withIssuer([], issuerUrl) });
    expect(problemCode(await wrapAt(harness, "k1", { iss: issuerUrl }))).toBe("DependencyTimeout");
    expect(issuer.fetched).toEqual([]);
  });

  it("of an issuer with a path are below that path", async () => {
    const issuerUrl = `${ISSUER}/tenant/`;
    const { harness, issuer } = setup({}, { config: withIssuer([], issuerUrl) });
    await wrapAt(harness, "k1", { iss: issuerUrl, aud: AUDIENCE });
    expect(issuer.fetched).toEqual([`${ISSUER}/tenant/.well-known/openid-configuration`]);
  });
});
