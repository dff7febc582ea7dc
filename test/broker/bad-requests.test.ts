import { createHash, randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";

import {
  call,
  configInput,
  keys,
  makeHarness,
  nodeToken,
  PLAINTEXT,
  problemCode,
  send,
  STATUS,
  stateOf,
  stillServes,
  UNWRAP,
  WRAP,
  wrap,
} from "./fixture.ts";

const harness = makeHarness();
const good = { plaintext: PLAINTEXT };

describe("a wrap is refused", () => {
  const bodies: [string, unknown][] = [
    ["without plaintext", {}],
    ["with a null plaintext", { plaintext: null }],
    ["with a number for plaintext", { plaintext: 7 }],
    ["with true for plaintext", { plaintext: true }],
    ["with a list for plaintext", { plaintext: [PLAINTEXT] }],
    ["with an object for plaintext", { plaintext: {} }],
    ["with an empty plaintext", { plaintext: "" }],
    ["with 257 bytes of plaintext", { plaintext: randomBytes(257).toString("base64") }],
    ["with unpadded base64", { plaintext: "AAA" }],
    ["with too much padding", { plaintext: "AA===" }],
    ["with base64url", { plaintext: "-_-_" }],
    ["with white space in base64", { plaintext: "AA AA===" }],
    ["with a line break after base64", { plaintext: "AAAA\n" }],
    ["with stray bits in base64", { plaintext: "AB==" }],
    ["with a uid that is a number", { ...good, uid: 1 }],
    ["with a null uid", { ...good, uid: null }],
    ["with a uid of 65 characters", { ...good, uid: "u".repeat(65) }],
    ["with a line break in uid", { ...good, uid: "a\nb" }],
    ["with a space in uid", { ...good, uid: "a b" }],
    ["with an umlaut in uid", { ...good, uid: "ä" }],
    ["with an unknown field", { ...good, extra: 1 }],
    ["with its field in other letters", { Plaintext: PLAINTEXT }],
    ["with __proto__", '{"plaintext":"AAAA","__proto__":{"uid":"x"}}'],
    ["with constructor", { ...good, constructor: {} }],
    ["with a list as its body", []],
    ["with a text as its body", '"text"'],
    ["with a number as its body", "7"],
    ["with null as its body", "null"],
    ["with half of its JSON", '{"plaintext":"AA'],
    ["with two documents", '{"plaintext":"AAAA"}{}'],
    ["with a comment in its JSON", '{"plaintext":"AAAA"} // x'],
    ["with an empty body", ""],
    ["with bytes that are no text", "\u0000\u0001"],
    ["with a body nested 4,000 deep", "[".repeat(4000)],
  ];
  it.each(bodies)("%s", async (_, body) => {
    const answer = await call(harness, "POST", WRAP, body);
    expect(answer.status, answer.text).toBe(400);
    expect(problemCode(answer)).toBe("Validation");
    expect(await stillServes(harness)).toBe(true);
  });
});

describe("an unwrap is refused", () => {
  const bodies: [string, unknown][] = [
    ["without ciphertext", {}],
    ["with a null ciphertext", { ciphertext: null }],
    ["with a number for ciphertext", { ciphertext: 7 }],
    ["with a list for ciphertext", { ciphertext: ["AAAA"] }],
    ["with an empty ciphertext", { ciphertext: "" }],
    ["with 4,097 bytes of ciphertext", { ciphertext: randomBytes(4097).toString("base64") }],
    ["with bad base64", { ciphertext: "****" }],
    ["with stray bits in base64", { ciphertext: "AB==" }],
    ["with plaintext instead", good],
    ["with plaintext beside", { ciphertext: "AAAA", ...good }],
    ["with a uid of 65 characters", { ciphertext: "AAAA", uid: "u".repeat(65) }],
    ["with a uid that is a list", { ciphertext: "AAAA", uid: [] }],
    ["with an empty body", ""],
    ["with a list as its body", []],
  ];
  it.each(bodies)("%s", async (_, body) => {
    const answer = await call(harness, "POST", UNWRAP, body);
    expect(answer.status, answer.text).toBe(400);
    expect(problemCode(answer)).toBe("Validation");
    expect(await stillServes(harness)).toBe(true);
  });
});

describe("a refusal of a body", () => {
  it("names the field and the rule", async () => {
    const { json } = await call(harness, "POST", WRAP, { plaintext: "AAA" });
    expect(json["detail"]).toContain("plaintext: must be standard base64");
  });
  it("repeats nothing of what was sent, not even names of fields", async () => {
    const { text } = await call(harness, "POST", WRAP, { plaintext: 5, "marked-field": "marked-value" });
    expect(text).not.toContain("marked");
  });
});

/** A POST whose body is a stream. */
function streaming(body: ReadableStream<Uint8Array>, headers: Record<string, string>, path = WRAP): Request {
  const init: RequestInit & { duplex: "half" } = { method: "POST", headers, body, duplex: "half" };
  return new Request(`http://broker.test${path}`, init);
}

/** A body that comes in pieces, with whatever Content-Length it claims. */
function streamed(body: string, headers: Record<string, string>, pieces = 8): Request {
  const bytes = new TextEncoder().encode(body);
  const size = Math.ceil(bytes.length / pieces);
  let at = 0;
  const stream = new ReadableStream<Uint8Array>({
    pull(controller) {
      if (at >= bytes.length) return controller.close();
      controller.enqueue(bytes.slice(at, (at += size)));
    },
  });
  return streaming(stream, headers);
}

async function headersFor(body: string, more: Record<string, string> = {}): Promise<Record<string, string>> {
  return {
    authorization: `Bearer ${await nodeToken("POST", WRAP, body)}`,
    "content-type": "application/json",
    ...more,
  };
}

describe("a body", () => {
  const long = JSON.stringify({ plaintext: "A".repeat(8200) });

  it.each([
    ["without Content-Length", {}],
    ["with an honest Content-Length", { "content-length": String(long.length) }],
    ["with a Content-Length that says less", { "content-length": "10" }],
    ["with a Content-Length of nonsense", { "content-length": "nonsense" }],
  ])("over 8 KiB %s is refused", async (_, more) => {
    const answer = await send(harness, streamed(long, await headersFor(long, more)));
    expect(answer.status).toBe(413);
    expect(problemCode(answer)).toBe("PayloadTooLarge");
    expect(await stillServes(harness)).toBe(true);
  });

  it("that says it is over 64 KiB is refused unread", async () => {
    const short = JSON.stringify(good);
    const request = streamed(short, await headersFor(short, { "content-length": "70000" }));
    expect(problemCode(await send(harness, request))).toBe("PayloadTooLarge");
    expect(request.bodyUsed).toBe(false);
  });

  it("without an end is read to 64 KiB, then cancelled", async () => {
    let cancelled = false;
    let sent = 0;
    const stream = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array((sent += 1024) && 1024)),
      cancel: () => void (cancelled = true),
    });
    const answer = await send(harness, streaming(stream, await headersFor("{")));
    expect(problemCode(answer)).toBe("PayloadTooLarge");
    expect(cancelled).toBe(true);
    expect(sent).toBeLessThan(80_000);
  });

  describe.each([
    ["without Content-Length", () => ({})],
    ["with Content-Length", (length: number) => ({ "content-length": String(length) })],
  ])("%s", (_, announced) => {
    it("of exactly 8 KiB is read", async () => {
      const whole = JSON.stringify(good).padEnd(8192, " ");
      const answer = await send(harness, streamed(whole, await headersFor(whole, announced(8192))));
      expect(answer.status, answer.text).toBe(200);
    });

    it("that comes byte by byte is read whole", async () => {
      const body = JSON.stringify(good);
      const headers = await headersFor(body, announced(body.length));
      const answer = await send(harness, streamed(body, headers, body.length));
      expect(answer.status, answer.text).toBe(200);
    });

    it("that never ends is given up at the caller's time", async () => {
      const stream = new ReadableStream<Uint8Array>({ start: (c) => c.enqueue(Uint8Array.of(123)) });
      const headers = await headersFor("{", { "x-timeout-ms": "20", ...announced(100) });
      const answer = await send(harness, streaming(stream, headers));
      expect(problemCode(answer)).toBe("Validation");
    });

    it("that breaks off is a bad request", async () => {
      const stream = new ReadableStream<Uint8Array>({
        pull: (c) => c.error(new Error("connection lost")),
      });
      const answer = await send(harness, streaming(stream, await headersFor("{", announced(100))));
      expect(problemCode(answer)).toBe("Validation");
    });
  });

  // Else some runtimes reset the connection before the refusal is read.
  it.each([
    ["a stranger", WRAP, {}, "AuthenticationFailed"],
    ["a path that is nothing", "/v1", {}, "NotFound"],
    ["a method that is not taken", STATUS, {}, "MethodNotAllowed"],
    ["a bad X-Timeout-Ms", WRAP, { "x-timeout-ms": "soon" }, "Validation"],
  ])("of a request that is refused for %s is read to its end", async (_, path, headers, code) => {
    let read = 0;
    const stream = new ReadableStream<Uint8Array>(
      { pull: (controller) => (++read > 4 ? controller.close() : controller.enqueue(new Uint8Array(1024))) },
      { highWaterMark: 0 },
    );
    expect(problemCode(await send(harness, streaming(stream, headers, path)))).toBe(code);
    expect(read).toBe(5);
  });

  it.each([
    "text/plain",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "application/vnd.api+json",
    "application/jsonp",
    "application/json;",
    "application/json ;charset=utf-8",
    "application/json; charset",
    "",
  ])("of type %j is refused", async (type) => {
    const answer = await wrap(harness, { mistakes: { headers: { "content-type": type } } });
    expect(answer.status, answer.text).toBe(415);
    expect(problemCode(answer)).toBe("UnsupportedMediaType");
  });

  it("of no type is refused", async () => {
    const body = new TextEncoder().encode(JSON.stringify(good));
    const hash = createHash("sha256").update(body).digest("base64url");
    const token = await nodeToken("POST", WRAP, "", { claims: { bh: hash } });
    const headers = { authorization: `Bearer ${token}` };
    const answer = await send(
      harness,
      new Request(`http://broker.test${WRAP}`, { method: "POST", headers, body }),
    );
    expect(answer.status).toBe(415);
  });

  it.each(["application/json; charset=utf-8", "Application/JSON"])("of type %s is read", async (type) => {
    const answer = await wrap(harness, { mistakes: { headers: { "content-type": type } } });
    expect(answer.status, answer.text).toBe(200);
  });
});

describe("a method", () => {
  it.each([
    ["GET", WRAP, "POST"],
    ["HEAD", WRAP, "POST"],
    ["PUT", WRAP, "POST"],
    ["PATCH", UNWRAP, "POST"],
    ["OPTIONS", UNWRAP, "POST"],
    ["POST", STATUS, "GET, HEAD"],
    ["DELETE", STATUS, "GET, HEAD"],
    ["PUT", "/livez", "GET, HEAD"],
    ["POST", "/openapi.json", "GET, HEAD"],
  ])("%s of %s is answered with Allow: %s", async (method, path, allow) => {
    const answer = await send(harness, new Request(`http://broker.test${path}`, { method }));
    expect(answer.status).toBe(405);
    expect(answer.headers.get("allow")).toBe(allow);
    if (method !== "HEAD") expect(problemCode(answer)).toBe("MethodNotAllowed");
  });

  it("HEAD of a status is answered like GET, without a body", async () => {
    const token = await nodeToken("HEAD", STATUS, "");
    const headers = { authorization: `Bearer ${token}` };
    const answer = await send(
      harness,
      new Request(`http://broker.test${STATUS}`, { method: "HEAD", headers }),
    );
    expect([answer.status, answer.text]).toEqual([200, ""]);
  });
});

describe("a path", () => {
  it.each([
    "/",
    "/v1",
    "/v1/keks",
    "/v1/keks/",
    "/v1/keks//wrap",
    "/v1/keks/prod-secrets/",
    "/v1/keks/prod-secrets/rewrap",
    "/v1/keks/prod-secrets/wrap/",
    "/V1/keks/prod-secrets/wrap",
    "/v2/keks/prod-secrets/wrap",
    "/readyz",
    "/metrics",
    "/.env",
    "/v1/keks/../../etc/passwd",
  ])("%s is nothing", async (path) => {
    for (const method of ["GET", "POST"]) {
      const answer = await send(harness, new Request(`http://broker.test${path}`, { method }));
      expect(problemCode(answer)).toBe("NotFound");
    }
  });
});

describe("a header", () => {
  it.each(["-1", "0", "soon", "1e3", "1.5", "0x10", "1 ", "", "99999999999", "5, 5"])(
    "X-Timeout-Ms: %j is refused",
    async (value) => {
      const answer = await wrap(harness, {
        mistakes: { headers: { "x-timeout-ms": value.replace(/ $/, "\u00a0") } },
      });
      expect(problemCode(answer)).toBe("Validation");
    },
  );

  it("X-Request-Id is returned as it came", async () => {
    const answer = await wrap(harness, { mistakes: { headers: { "x-request-id": "apiserver/42:a" } } });
    expect(answer.headers.get("x-request-id")).toBe("apiserver/42:a");
    expect(harness.logs.at(-1)).toContain('"requestId":"apiserver/42:a"');
  });

  it.each(["x".repeat(129), 'a"b', "a b", "a{b}", "é"])("X-Request-Id: %s is replaced", async (id) => {
    const answer = await wrap(harness, { mistakes: { headers: { "x-request-id": id } } });
    expect(answer.headers.get("x-request-id")).toMatch(/^[0-9a-f]{32}$/);
  });

  it("traceparent is carried into the log, if it is one", async () => {
    const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    await wrap(harness, { mistakes: { headers: { traceparent } } });
    expect(JSON.parse(harness.logs.at(-1) ?? "{}")).toMatchObject({ traceparent });
    for (const bad of [
      "00-0-0-0",
      traceparent.replace("00-", "ff-"),
      traceparent.replace(/-b7.*-/, `-${"0".repeat(16)}-`),
    ]) {
      await wrap(harness, { mistakes: { headers: { traceparent: bad } } });
      expect(harness.logs.at(-1)).not.toContain("traceparent");
    }
  });

  it("Date is the broker's own time, so that a shim can set its clock right", async () => {
    const answer = await wrap(harness, { mistakes: { claims: { iat: 1, exp: 30 } } });
    expect(answer.headers.get("date")).toBe("Tue, 24 Nov 2026 12:00:00 GMT");
  });

  it("Origin gets no CORS", async () => {
    const answer = await wrap(harness, { mistakes: { headers: { origin: "https://evil.example" } } });
    expect([...answer.headers.keys()].filter((name) => name.startsWith("access-control"))).toEqual([]);
  });
});

describe("a caller who may not", () => {
  const denied: [string, string, string, string][] = [
    ["wrap", "readers/cp-1", WRAP, "not-granted"],
    ["unwrap", "readers/cp-1", UNWRAP, "not-granted"],
    ["use a KEK that is there", "prod-eu-1/cp-1", "/v1/keks/other-kek/wrap", "not-granted"],
    ["use a KEK that is not there", "prod-eu-1/cp-1", "/v1/keks/no-such-kek/wrap", "unknown-kek"],
    ["use an object's own property", "prod-eu-1/cp-1", "/v1/keks/constructor/wrap", "unknown-kek"],
    ["use __proto__", "prod-eu-1/cp-1", "/v1/keks/__proto__/wrap", "unknown-kek"],
    ["use a KEK in upper case", "prod-eu-1/cp-1", "/v1/keks/PROD-SECRETS/wrap", "unknown-kek"],
    ["use a path within a name", "prod-eu-1/cp-1", "/v1/keks/..%2Fprod-secrets/wrap", "unknown-kek"],
    ["use a name with a NUL", "prod-eu-1/cp-1", "/v1/keks/prod-secrets%00/wrap", "unknown-kek"],
  ];
  it.each(denied)("%s gets the same words", async (_, subject, path, reason) => {
    const answer = await call(harness, "POST", path, good, { subject });
    expect(answer.status, answer.text).toBe(403);
    expect(problemCode(answer)).toBe("AccessDenied");
    expect(JSON.parse(harness.logs.at(-1) ?? "{}")).toMatchObject({ reason });
    const other = await call(harness, "POST", "/v1/keks/other-kek/wrap", good);
    expect(answer.json["detail"]).toBe(other.json["detail"]);
    expect(harness.counted).toContainEqual({
      name: "kek_broker_denials_total",
      labels: { cluster: subject.split("/")[0], reason },
    });
  });

  it("is told so before anything is said of the body", async () => {
    const answer = await call(harness, "POST", WRAP, "{", { subject: "readers/cp-1" });
    expect(problemCode(answer)).toBe("AccessDenied");
  });

  it("may still do what is allowed", async () => {
    const answer = await call(harness, "GET", STATUS, undefined, { subject: "readers/cp-1" });
    expect(answer.status).toBe(200);
  });

  it("leaves no intent behind", async () => {
    const fresh = makeHarness();
    await call(fresh, "POST", WRAP, good, { subject: "readers/cp-1" });
    expect(fresh.entries).toEqual([]);
  });
});

describe("a reload", () => {
  it("takes effect at the next request", async () => {
    const changing = makeHarness();
    expect((await wrap(changing)).status).toBe(200);
    changing.state = stateOf(configInput({ clusters: {} }));
    expect(problemCode(await wrap(changing))).toBe("AuthenticationFailed");
  });

  it("does not touch a request that began before it", async () => {
    const changing = makeHarness();
    const body = JSON.stringify(good);
    let go: (() => void) | undefined;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        go = () => {
          controller.enqueue(new TextEncoder().encode(body));
          controller.close();
        };
      },
    });
    const answer = send(changing, streaming(stream, await headersFor(body)));
    await Promise.resolve();
    changing.state = stateOf(configInput({ revoked: ["prod-eu-1"] }));
    go?.();
    expect((await answer).status).toBe(200);
  });
});

it("a broker without its configuration answers a problem, not a stack", async () => {
  const broken = makeHarness({
    deps: {
      state: () => {
        throw new Error(`not loaded ${keys.node.algorithm}`);
      },
    },
  });
  const answer = await wrap(broken);
  expect(problemCode(answer)).toBe("Internal");
  expect(answer.text).not.toContain("not loaded");
});
