import { OAuth2Server } from "oauth2-mock-server";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { makeCertificate } from "../shim/certificate.ts";
import { call } from "./http/caller.ts";
import { KEK, makeFixture, type Fixture } from "./http/fixture.ts";
import { freePort, startNodeBroker, type NodeBroker } from "./http/node.ts";

const SUBJECT = "system:serviceaccount:kube-system:kek-shim";

/** Claims and header on top of what a good token of the issuer has. */
interface Changes {
  readonly claims?: Record<string, unknown>;
  readonly header?: Record<string, unknown>;
  readonly kid?: string;
}

describe("tokens of an OIDC issuer that publishes its keys over TLS", () => {
  let folder: string;
  let fixture: Fixture;
  let issuer: OAuth2Server;
  let issuerPort: number;
  let broker: NodeBroker;
  let firstKid: string;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "kek-oidc-"));
    const { cert, key } = makeCertificate();
    const ca = join(folder, "issuer.crt");
    const keyFile = join(folder, "issuer.key");
    writeFileSync(ca, cert);
    writeFileSync(keyFile, key, { mode: 0o600 });
    issuer = new OAuth2Server(keyFile, ca);
    firstKid = (await issuer.issuer.keys.generate("ES256")).kid;
    issuerPort = await freePort();
    await issuer.start(issuerPort, "127.0.0.1");
    fixture = await makeFixture();
    broker = await startNodeBroker(JSON.stringify(withIdentity(["127.0.0.1", "::1"])), {
      NODE_EXTRA_CA_CERTS: ca,
    });
  });
  afterAll(async () => {
    await broker?.close();
    if (issuer?.listening) await issuer.stop();
    rmSync(folder, { recursive: true, force: true });
  });

  function withIdentity(privateAddresses: readonly string[]): Record<string, unknown> {
    const config = JSON.parse(fixture.config) as { clusters: Record<string, Record<string, unknown>> };
    config.clusters["hosted"] = {
      id: "hosted",
      identities: [
        { oidc: { issuer: `https://localhost:${issuerPort}`, subject: SUBJECT, privateAddresses } },
      ],
      allow: [{ kek: KEK, operations: ["wrap", "unwrap", "status"] }],
    };
    return config;
  }

  const tokenOf = ({ claims = {}, header = {}, kid }: Changes = {}): Promise<string> =>
    issuer.issuer.buildToken({
      ...(kid === undefined ? {} : { kid }),
      expiresIn: 600,
      scopesOrTransform: (head, payload) => {
        Object.assign(payload, { sub: SUBJECT, aud: fixture.audience, ...claims });
        Object.assign(head, header);
        for (const [name, value] of Object.entries(claims)) if (value === null) delete payload[name];
      },
    });
  const wrapWith = (token: string) =>
    call(
      { url: broker.url, audience: fixture.audience },
      fixture.nodes.primary,
      "POST",
      `/v1/keks/${KEK}/wrap`,
      {
        plaintext: randomBytes(32).toString("base64"),
      },
      { token },
    );

  it("are taken for the cluster that its subject is registered with", async () => {
    const answer = await wrapWith(await tokenOf());
    expect(answer.status, answer.text).toBe(200);
  });

  const now = () => Math.floor(Date.now() / 1000);
  it.each<[string, () => Changes]>([
    ["of another subject", () => ({ claims: { sub: "system:serviceaccount:default:default" } })],
    ["for another audience", () => ({ claims: { aud: "https://kubernetes.default.svc" } })],
    ["for a list of audiences", () => ({ claims: { aud: [fixture.audience, "https://else.example"] } })],
    ["of another issuer", () => ({ claims: { iss: "https://localhost:1" } })],
    ["without an expiry", () => ({ claims: { exp: null } })],
    ["without an issue time", () => ({ claims: { iat: null } })],
    ["alive for over an hour", () => ({ claims: { exp: now() + 3700 } })],
    ["of another type", () => ({ header: { typ: "kek-node+jwt" } })],
  ])("%s are refused", async (_, changes) => {
    const answer = await wrapWith(await tokenOf(changes()));
    expect([answer.status, answer.json["code"]]).toEqual([401, "AuthenticationFailed"]);
    expect((await wrapWith(await tokenOf())).status).toBe(200);
  });

  it("signed by a key that the issuer never published are refused", async () => {
    const other = new OAuth2Server();
    await other.issuer.keys.generate("ES256", { kid: firstKid });
    other.issuer.url = `https://localhost:${issuerPort}`;
    const token = await other.issuer.buildToken({
      scopesOrTransform: (_head, payload) =>
        void Object.assign(payload, { sub: SUBJECT, aud: fixture.audience }),
      expiresIn: 600,
    });
    expect((await wrapWith(token)).json["code"]).toBe("AuthenticationFailed");
  });

  it("are taken still while the issuer is down: its keys are kept", async () => {
    const token = await tokenOf();
    await issuer.stop();
    const answer = await wrapWith(token);
    expect(answer.status, answer.text).toBe(200);
  });

  it("are refused when the issuer's host is a private address that nobody listed", async () => {
    await issuer.start(issuerPort, "127.0.0.1");
    const guarded = await startNodeBroker(JSON.stringify(withIdentity([])), {
      NODE_EXTRA_CA_CERTS: join(folder, "issuer.crt"),
    });
    try {
      const answer = await call(
        { url: guarded.url, audience: fixture.audience },
        fixture.nodes.primary,
        "GET",
        `/v1/keks/${KEK}`,
        undefined,
        {
          token: await tokenOf(),
        },
      );
      expect(answer.status).not.toBe(200);
      expect(await guarded.printed(/"issuer-keys-failed"/)).toContain("private address");
    } finally {
      await guarded.close();
    }
  });
});
