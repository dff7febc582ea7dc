import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";

import type { ALBEvent, APIGatewayProxyEvent, APIGatewayProxyEventV2 } from "aws-lambda";
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";

import type { LambdaAnswer } from "../../src/runtime/lambda-event.ts";
import { createLambdaHandler, type LambdaHandler } from "../../src/runtime/lambda-handler.ts";
import { signedHeaders } from "../conformance/http/caller.ts";
import { KEK, makeFixture, type Fixture } from "../conformance/http/fixture.ts";
import { eventOf } from "../emulators/lambda/function-url.ts";

const WRAP = `/v1/keks/${KEK}/wrap`;

/** What a function prints, and whether that works. */
class Printed extends Writable {
  readonly lines: Record<string, unknown>[] = [];
  broken = false;

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    if (this.broken) return done(new Error("EPIPE"));
    for (const line of chunk.toString("utf8").trim().split("\n")) {
      this.lines.push(JSON.parse(line) as Record<string, unknown>);
    }
    done();
  }
}

describe("the Lambda function", () => {
  let folder: string;
  let fixture: Fixture;
  let printed: Printed;
  let handler: LambdaHandler;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "kek-lambda-"));
    fixture = await makeFixture();
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  beforeEach(async () => {
    printed = new Printed().on("error", () => {});
    handler = await start({ KEK_BROKER_CONFIG: fixture.config });
  });

  const start = (env: Record<string, string>): Promise<LambdaHandler> =>
    createLambdaHandler({ env, out: printed });
  const invoke = (event: object, to = handler): Promise<LambdaAnswer> => to(event);
  const problemOf = ({ statusCode, body }: LambdaAnswer): unknown[] => [
    statusCode,
    (JSON.parse(body) as Record<string, unknown>)["code"],
  ];
  const body = JSON.stringify({ plaintext: randomBytes(32).toString("base64") });
  const wrapping = async (more: Record<string, string> = {}): Promise<APIGatewayProxyEventV2> => {
    const headers = await signedHeaders(fixture.nodes.primary, fixture.audience, "POST", WRAP, body);
    return eventOf({ method: "POST", path: WRAP, headers: { ...headers, ...more }, body: Buffer.from(body) });
  };

  it("records the intent before the act and the outcome before it answers, each a line", async () => {
    expect((await invoke(await wrapping())).statusCode).toBe(200);
    const entries = printed.lines.filter(({ kind }) => kind !== undefined);
    expect(entries.map(({ kind, operation, result }) => [kind, operation ?? result])).toEqual([
      ["intent", "wrap"],
      ["outcome", "ok"],
    ]);
  });

  it("does nothing while it cannot print", async () => {
    printed.broken = true;
    expect(problemOf(await invoke(await wrapping()))).toEqual([503, "AuditUnavailable"]);
  });

  describe("takes a request of", () => {
    it("a function URL or API Gateway (payload 2.0), with a body in base64", async () => {
      const event = await wrapping();
      const encoded = { ...event, body: Buffer.from(body).toString("base64"), isBase64Encoded: true };
      const { statusCode, isBase64Encoded, headers } = await invoke(encoded);
      expect([statusCode, isBase64Encoded, headers?.["cache-control"]]).toEqual([200, false, "no-store"]);
    });

    it("API Gateway (payload 1.0) or a load balancer, with headers of several values", async () => {
      const event = await wrapping();
      const old = {
        httpMethod: "POST",
        path: WRAP,
        body,
        isBase64Encoded: false,
        multiValueHeaders: Object.fromEntries(
          Object.entries(event.headers).map(([name, value]) => [name, [String(value)]]),
        ),
        multiValueQueryStringParameters: null,
      };
      const balanced: Partial<ALBEvent> = { ...old, multiValueQueryStringParameters: {} };
      const gateway: Partial<APIGatewayProxyEvent> = { ...old, headers: {} };
      expect((await invoke({ ...gateway, requestContext: { domainName: "x.example" } })).statusCode).toBe(
        200,
      );
      expect(
        (await invoke({ ...balanced, requestContext: { elb: { targetGroupArn: "arn" } } })).statusCode,
      ).toBe(200);
    });
  });

  it("refuses two tokens in one request", async () => {
    const event = await wrapping();
    const token = String(event.headers["authorization"]);
    const twice = { ...event, headers: { ...event.headers, authorization: `${token}, ${token}` } };
    expect(problemOf(await invoke(twice))).toEqual([401, "AuthenticationFailed"]);
  });

  it("believes nothing that a proxy says of the request", async () => {
    const forwarded = {
      "x-forwarded-host": "kek.example.com",
      "x-forwarded-uri": "/livez",
      "x-original-url": "/livez",
      "x-rewrite-url": "/livez",
      "x-http-method-override": "GET",
      forwarded: "for=127.0.0.1;host=kek.example.com;proto=https",
    };
    const { statusCode, body: text } = await invoke(await wrapping(forwarded));
    expect([statusCode, text.includes("ciphertext")]).toEqual([200, true]);
    expect(JSON.stringify(printed.lines)).not.toContain("203.0.113.9");
  });

  it.each([{}, { requestContext: {} }, { Records: [{ eventSource: "aws:sqs" }] }])(
    "answers no event but a request's: %j",
    async (event) => {
      const { statusCode } = await invoke(event);
      expect(statusCode).toBeGreaterThanOrEqual(400);
      expect(printed.lines.some(({ kind }) => kind === "intent")).toBe(false);
    },
  );

  describe("prints nothing of a request that cannot be one, and answers it as a problem:", () => {
    const SECRET = "eyJhbGciOiJFUzI1NiJ9.secret";
    const request = (method: string, more: object = {}) => ({
      ...eventOf({ method, path: WRAP, headers: {}, body: Buffer.from(body) }),
      ...more,
    });

    it.each<[string, object, unknown[]]>([
      [
        "a line break in a token",
        request("POST", { headers: { authorization: `Bearer ${SECRET}\r\nx: y` } }),
        [401, "AuthenticationFailed"],
      ],
      [
        "NUL in a token",
        request("POST", { headers: { authorization: `Bearer ${SECRET}\0` } }),
        [401, "AuthenticationFailed"],
      ],
      [
        "half a character in a token",
        request("POST", { headers: { authorization: `Bearer ${SECRET}\ud800` } }),
        [401, "AuthenticationFailed"],
      ],
      [
        "a header's name that is none",
        request("POST", { headers: { [`a ${SECRET}`]: SECRET } }),
        [401, "AuthenticationFailed"],
      ],
      [
        "a header that is no text",
        request("POST", { headers: { authorization: [SECRET] } }),
        [401, "AuthenticationFailed"],
      ],
      ["GET with a body", request("GET"), [405, "MethodNotAllowed"]],
      ["TRACE", request("TRACE", { headers: { authorization: SECRET } }), [405, "MethodNotAllowed"]],
      ["no method at all", request(`${SECRET} /`), [405, "MethodNotAllowed"]],
      [
        "a body that is not the base64 it says",
        request("POST", { body: `${SECRET}!`, isBase64Encoded: true }),
        [400, "Validation"],
      ],
      [
        "a load balancer's, of a host that is none",
        { httpMethod: "POST", path: WRAP, headers: { host: `a b ${SECRET}` }, requestContext: { elb: {} } },
        [401, "AuthenticationFailed"],
      ],
      ["no request", { Records: [{ body: SECRET }] }, [400, "Validation"]],
    ])("%s", async (_, event, expected) => {
      const stderr = [vi.spyOn(console, "error"), vi.spyOn(process.stderr, "write")];
      const answer = await invoke(event);
      expect(problemOf(answer)).toEqual(expected);
      expect(answer.headers?.["content-type"]).toBe("application/problem+json");
      const { requestId } = JSON.parse(answer.body) as Record<string, unknown>;
      expect(answer.headers?.["x-request-id"]).toBe(requestId);
      for (const spy of stderr) {
        expect(spy).not.toHaveBeenCalled();
        spy.mockRestore();
      }
      expect(JSON.stringify([printed.lines, answer])).not.toContain(SECRET);
    });

    it("by the id that it was sent with, if that can be one", async () => {
      const named = await invoke(request("TRACE", { headers: { "x-request-id": "mine-1" } }));
      expect(named.headers).toMatchObject({ "x-request-id": "mine-1", allow: "GET, HEAD, POST" });
    });
  });

  it("takes a request with a header that cannot be one as if that were not there", async () => {
    const { statusCode } = await invoke(await wrapping({ "x-other": "a\r\nb" }));
    expect(statusCode).toBe(200);
  });

  describe("reads its configuration from", () => {
    const livez = eventOf({ method: "GET", path: "/livez", headers: {}, body: Buffer.of() });

    it.each([
      ["broker.yaml beside it", "broker.yaml", {}],
      ["the file that is named", "other.yaml", { KEK_BROKER_CONFIG_FILE: "other.yaml" }],
    ])("%s", async (_, name, env) => {
      writeFileSync(join(folder, name), fixture.config);
      const started = await start({ LAMBDA_TASK_ROOT: folder, ...env });
      expect((await invoke(livez, started)).statusCode).toBe(200);
    });

    it.each<[string, Record<string, string>, string]>([
      ["two places", { KEK_BROKER_CONFIG: "{}", KEK_BROKER_CONFIG_FILE: "broker.yaml" }, "not both"],
      ["a file that is not there", { KEK_BROKER_CONFIG_FILE: "/nowhere/broker.yaml" }, "ENOENT"],
      ["a text that is broken", { KEK_BROKER_CONFIG: "keks: [" }, "not valid YAML"],
      [
        "a text that records into a file",
        { KEK_BROKER_CONFIG: "{audience: 'https://kek.example.com', audit: {file: /tmp/custody}}" },
        "no file lasts on this runtime",
      ],
    ])("%s: no, and every request is answered as a problem that tells nothing of it", async (_, env, why) => {
      const started = await start(env);
      const answer = await invoke(livez, started);
      expect(problemOf(answer)).toEqual([500, "Internal"]);
      expect(answer.headers?.["content-type"]).toBe("application/problem+json");
      expect(answer.body).not.toContain(why);
      expect(printed.lines.at(-1)).toMatchObject({
        event: "config-refused",
        error: expect.stringContaining(why),
      });
    });
  });

  it("prints what it counts in CloudWatch's format, where that is wanted, once", async () => {
    const counting = await start({ KEK_BROKER_CONFIG: fixture.config, KEK_BROKER_METRICS: "emf" });
    await invoke(await wrapping(), counting);
    await invoke(await wrapping(), counting);
    const emf = printed.lines.filter(({ _aws }) => _aws !== undefined);
    expect(emf.filter((line) => "kek_broker_requests_total" in line)).toEqual(
      Array.from({ length: 2 }, () => ({
        _aws: {
          Timestamp: expect.any(Number),
          CloudWatchMetrics: [
            {
              Namespace: "kek-broker",
              Dimensions: [["route", "code"]],
              Metrics: [{ Name: "kek_broker_requests_total", Unit: "Count" }],
            },
          ],
        },
        route: "wrap",
        code: "ok",
        kek_broker_requests_total: 1,
      })),
    );
  });

  it("prints no counts unless asked to", async () => {
    await invoke(await wrapping());
    expect(printed.lines.some(({ _aws }) => _aws !== undefined)).toBe(false);
  });
});
