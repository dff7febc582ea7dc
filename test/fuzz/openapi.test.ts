import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { PROBLEM_CODES, statusOf } from "../../src/wire/problem.ts";
import { call, send } from "../conformance/http/caller.ts";
import { AUDIENCE, KEK, makeFixture, type Fixture } from "../conformance/http/fixture.ts";
import { startNodeBroker, type NodeBroker } from "../conformance/http/node.ts";
import { acceptedBy, fuzz, type FuzzOptions } from "./schemathesis.ts";

/**
 * All of schemathesis' but three: `positive_data_acceptance`, since no description can say which ciphertext opens (what
 * is accepted is counted here instead), `use_after_free`, since nothing is ever deleted, and
 * `object_level_authorization`, which needs objects that users make and own.
 */
const CHECKS = [
  "not_a_server_error",
  "status_code_conformance",
  "content_type_conformance",
  "response_headers_conformance",
  "response_schema_conformance",
  "negative_data_rejection",
  "missing_required_header",
  "unsupported_method",
  "allow_header_conformance",
  "ensure_resource_availability",
  "ignored_auth",
];

const WRAP = `POST /v1/keks/{kek}/wrap`;
const UNWRAP = `POST /v1/keks/{kek}/unwrap`;
const STATUS = `GET /v1/keks/{kek}`;

/** None may be seen; a caller whose time was too short is no error of the server's. */
const SERVER_ERRORS = new Set<string>(
  PROBLEM_CODES.filter((code) => statusOf(code) >= 500 && code !== "DependencyTimeout"),
);

/** A broker that also knows an issuer, because a fuzzer can't sign each of its requests. */
async function makeCaller(): Promise<{ fixture: Fixture; config: string; token: string }> {
  const [issuer, subject, kid] = ["https://issuer.test", "fuzzer", "one"];
  const { privateKey, publicKey } = await generateKeyPair("ES256");
  const jwks = { keys: [{ ...(await exportJWK(publicKey)), kid, alg: "ES256" }] };
  const fixture = await makeFixture();
  const config = JSON.parse(fixture.config) as { clusters: Record<string, object> };
  config.clusters["fuzzed"] = {
    id: "fuzzed",
    identities: [{ oidc: { issuer, subject, jwks } }],
    allow: [{ kek: KEK, operations: ["wrap", "unwrap", "status"] }],
  };
  const token = await new SignJWT()
    .setProtectedHeader({ alg: "ES256", typ: "at+jwt", kid })
    .setIssuer(issuer)
    .setSubject(subject)
    .setAudience(AUDIENCE)
    .setIssuedAt()
    .setExpirationTime("50 minutes")
    .sign(privateKey);
  return { fixture, config: JSON.stringify(config), token };
}

/** Real envelopes, another cluster's, and spoiled ones, beside what the fuzzer makes up. */
async function makeEnvelopes(broker: NodeBroker, fixture: Fixture, token: string): Promise<string[]> {
  const path = `/v1/keks/${KEK}/wrap`;
  const body = (size: number) => ({ plaintext: randomBytes(size).toString("base64") });
  const own = await Promise.all(
    [1, 32, 256].map((size) =>
      send(
        broker.url,
        "POST",
        path,
        { authorization: `Bearer ${token}`, "content-type": "application/json" },
        JSON.stringify(body(size)),
      ),
    ),
  );
  const target = { url: broker.url, audience: AUDIENCE };
  const others = await call(target, fixture.nodes.otherCluster, "POST", path, body(32));
  const good = own.map(({ json }) => String(json["ciphertext"]));
  const bytes = Buffer.from(good[1] ?? "", "base64");
  const flipped = [0, 1, 40, bytes.length - 1].map((at) => {
    const copy = Buffer.from(bytes);
    copy.writeUInt8((copy[at] ?? 0) ^ 1, at);
    return copy;
  });
  const spoiled = [...flipped, bytes.subarray(0, -1), Buffer.concat([bytes, Buffer.from([0])])];
  return [...good, String(others.json["ciphertext"]), ...spoiled.map((some) => some.toString("base64"))];
}

describe("the broker against its own OpenAPI description", () => {
  let broker: NodeBroker;
  let options: FuzzOptions;

  beforeAll(async () => {
    const { fixture, config, token } = await makeCaller();
    broker = await startNodeBroker(config);
    options = {
      url: broker.url,
      token,
      values: {
        "path.kek": { list: [KEK], share: 0.8 },
        "body.ciphertext": { list: await makeEnvelopes(broker, fixture, token), share: 0.5 },
        "body.plaintext": {
          list: [1, 32, 256].map((size) => randomBytes(size).toString("base64")),
          share: 0.5,
        },
        // The description allows 1, which is less than the work takes: some cases shall get further.
        "header.x-timeout-ms": { list: [2500, 60_000], share: 1 },
      },
      checks: CHECKS,
      seed: 20_261,
      maxExamples: 400,
      timeLimitMs: 150_000,
    };
  });
  afterAll(async () => {
    await broker?.close();
  });

  it("answers what it describes, whatever is sent", async () => {
    const found = await fuzz(`${broker.url}/openapi.json`, options);
    process.stderr.write(summaryOf(found.output));
    const { exit_code, complete, operations, test_cases } = found.report;
    expect(test_cases.unique_failures, findingsIn(found.output)).toBe(0);
    expect({ exit_code, complete }, findingsIn(found.output)).toEqual({ exit_code: 0, complete: true });
    expect(operations.tested).toBe(operations.total);
    expect(test_cases.generated).toBeGreaterThan(1_000);
    // Not only at the door: each operation was really done, many times.
    for (const operation of [WRAP, UNWRAP, STATUS]) {
      expect(acceptedBy(found, operation), operation).toBeGreaterThan(20);
    }
    const codes = new Set(codesIn(broker.output()));
    expect([...codes]).toContain("Validation");
    expect([...codes].filter((code) => SERVER_ERRORS.has(code))).toEqual([]);
  });

  it("would be caught describing itself wrongly", async () => {
    const { text } = await send(broker.url, "GET", "/openapi.json");
    const description = JSON.parse(text) as Description;
    const { responses } = description.paths["/v1/keks/{kek}/wrap"].post;
    delete responses["400"];
    const wrong = createServer((_, response) =>
      response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(description)),
    ).listen(0, "127.0.0.1");
    await once(wrong, "listening");
    try {
      const { port } = wrong.address() as AddressInfo;
      const found = await fuzz(`http://127.0.0.1:${port}/openapi.json`, { ...options, maxExamples: 20 });
      expect(found.report.exit_code).toBe(1);
      expect(found.report.failures.map(({ type }) => type)).toContain("UndefinedStatusCode");
    } finally {
      wrong.close();
    }
  });
});

interface Description {
  readonly paths: {
    readonly "/v1/keks/{kek}/wrap": { readonly post: { responses: Record<string, object> } };
  };
}

/** What the broker's log says of each request that it refused. */
function codesIn(log: string): string[] {
  return [...log.matchAll(/"code":"([A-Za-z]+)"/g)].map(([, code = ""]) => code);
}

/** The fuzzer's own counts, from its last block. */
function summaryOf(output: string): string {
  return output.slice(output.lastIndexOf("Test Phases:"));
}

/** The findings, each with a request that shows it; a line of one may be very long. */
function findingsIn(output: string): string {
  const findings = output.slice(Math.max(0, output.search(/= (FAILURES|ERRORS) =/)));
  return findings.replaceAll(/^(.{600}).*/gm, "$1…");
}
