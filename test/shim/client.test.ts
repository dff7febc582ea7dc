import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";

import { describe, expect, onTestFinished, test, vi } from "vitest";

import type { BrokerClient } from "../../src/shim/client.ts";
import { BrokerCallError } from "../../src/shim/errors.ts";
import type { BrokerCallCode } from "../../src/shim/errors.ts";
import { PROBLEM_CODES } from "../../src/wire/problem.ts";
import { makeCertificate } from "./certificate.ts";
import { FakeBroker, hangsUp, held, refuses, says, staysSilent, truncates } from "./fake-broker.ts";
import type { Behaviour } from "./fake-broker.ts";
import { makeClient, ManualClock, SkippingClock, startBroker, startBrokers, within } from "./kit.ts";

/** For a busy machine; nothing here waits so long. */
vi.setConfig({ testTimeout: 30_000 });

const DEK = Buffer.from("0123456789abcdef0123456789abcdef");

async function codeOf(promise: Promise<unknown>): Promise<BrokerCallCode | "none"> {
  try {
    await promise;
    return "none";
  } catch (error) {
    if (error instanceof BrokerCallError) return error.code;
    throw error;
  }
}

describe("one broker", () => {
  test("wraps, unwraps and tells its status", async () => {
    const broker = await startBroker();
    const { client } = makeClient([broker.url]);
    const { ciphertext, keyId } = await client.wrap(DEK, "uid-1", within(3_000));
    expect(keyId).toBe(broker.keyId);
    const unwrapped = await client.unwrap(Buffer.from(ciphertext, "base64"), "uid-2", within(3_000));
    expect(unwrapped.plaintext).toBe(DEK.toString("base64"));
    expect((await client.status(within(3_000))).state).toBe("ACTIVE");
    expect(broker.calls.map(({ method, path, uid }) => [method, path, uid])).toEqual([
      ["POST", "/v1/keks/prod-secrets/wrap", "uid-1"],
      ["POST", "/v1/keks/prod-secrets/unwrap", "uid-2"],
      ["GET", "/v1/keks/prod-secrets", undefined],
    ]);
  });

  test("is told who asks, under which id, and for how long", async () => {
    const broker = await startBroker();
    const { client } = makeClient([broker.url]);
    await client.status(within(900));
    await client.status(within(60_000));
    const [short, long] = broker.calls;
    expect(short?.headers.authorization).toBe("Bearer a.b.c");
    expect(short?.headers["x-request-id"]).toMatch(/^[0-9a-f-]{36}$/);
    expect(short?.headers["x-request-id"]).not.toBe(long?.headers["x-request-id"]);
    expect(Number(short?.headers["x-timeout-ms"])).toBeGreaterThan(600);
    expect(Number(short?.headers["x-timeout-ms"])).toBeLessThanOrEqual(800);
    expect(Number(long?.headers["x-timeout-ms"])).toBeGreaterThan(2_480);
    expect(Number(long?.headers["x-timeout-ms"])).toBeLessThanOrEqual(2_500);
  });

  test("answers of a newer version, with fields unknown here, are read", async () => {
    const broker = await startBroker();
    broker.next(
      says(200, { "content-type": "application/json" }, '{"ciphertext":"AAAA","keyId":null,"new":1}'),
    );
    const { client } = makeClient([broker.url]);
    expect(await client.wrap(DEK, undefined, within(4_000))).toEqual({ ciphertext: "AAAA", keyId: null });
  });

  test.each(PROBLEM_CODES)("its problem %s is told by its code", async (code) => {
    const broker = await startBroker();
    broker.always = refuses(code);
    const clock = new SkippingClock();
    const { client } = makeClient([broker.url], { clock });
    expect(await codeOf(client.status(within(5_000, clock)))).toBe(code);
  });

  test.each([
    [401, "AuthenticationFailed"],
    [403, "AccessDenied"],
    [429, "Throttled"],
    [418, "UnsupportedOperation"],
    [507, "Internal"],
  ] as const)("a problem %i with a code of the future is taken for %s", async (status, code) => {
    const broker = await startBroker();
    broker.always = says(
      status,
      { "content-type": "application/problem+json" },
      '{"code":"Unheard","detail":"x"}',
    );
    const clock = new SkippingClock();
    const { client } = makeClient([broker.url], { clock });
    expect(await codeOf(client.status(within(5_000, clock)))).toBe(code);
  });

  const JSON_TYPE = { "content-type": "application/json" };
  const OTHER_ANSWERS: readonly [string, Behaviour, BrokerCallCode][] = [
    ["a proxy's 502 page", says(502, { "content-type": "text/html" }, "<h1>502</h1>"), "BadAnswer"],
    ["a proxy's 403 page, which is no denial", says(403, { "content-type": "text/html" }, "no"), "BadAnswer"],
    ["a 200 of another media type", says(200, { "content-type": "text/plain" }, "{}"), "BadAnswer"],
    ["a 200 that is no JSON", says(200, JSON_TYPE, "{"), "BadAnswer"],
    ["a 200 of another shape", says(200, JSON_TYPE, '{"name":7}'), "BadAnswer"],
    ["a 204", says(204, {}, ""), "BadAnswer"],
    ["a body over 64 KiB", says(200, JSON_TYPE, `"${"a".repeat(70_000)}"`), "BadAnswer"],
    ["a body cut off", truncates, "Unreachable"],
    ["a connection broken before the act", hangsUp("before"), "Unreachable"],
    ["a connection broken after the act", hangsUp("after"), "Unreachable"],
  ];
  test.each(OTHER_ANSWERS)("%s is an error of its own", async (_name, behaviour, code) => {
    const broker = await startBroker();
    broker.always = behaviour;
    const clock = new SkippingClock();
    const { client } = makeClient([broker.url], { clock });
    expect(await codeOf(client.status(within(5_000, clock)))).toBe(code);
    broker.always = undefined;
    expect(await codeOf(client.status(within(5_000, clock)))).toBe("none");
  });

  test("silence is Timeout at the deadline", async () => {
    const broker = await startBroker();
    broker.always = staysSilent;
    const { client } = makeClient([broker.url]);
    expect(await codeOf(client.status(within(300)))).toBe("Timeout");
  });

  test("a redirect is not followed", async () => {
    const [broker, elsewhere] = await startBrokers(2);
    broker!.always = says(307, { location: `${elsewhere!.url}/v1/keks/prod-secrets` }, "");
    const clock = new SkippingClock();
    const { client } = makeClient([broker!.url], { clock });
    expect(await codeOf(client.status(within(5_000, clock)))).toBe("BadAnswer");
    expect(elsewhere!.count()).toBe(0);
  });

  test("a port nobody listens on is Unreachable at once, not at the deadline", async () => {
    const gone = await FakeBroker.start();
    await gone.stop();
    const clock = new SkippingClock();
    const { client } = makeClient([gone.url], { clock });
    const started = performance.now();
    expect(await codeOf(client.status(within(60_000, clock)))).toBe("Unreachable");
    expect(performance.now() - started).toBeLessThan(5_000);
  });

  test("a caller that leaves ends the call", async () => {
    const broker = await startBroker();
    const gate = held();
    const arrived = new Promise<void>((resolve) => {
      broker.next((moment) => {
        resolve();
        return gate.behaviour(moment);
      });
    });
    const { client, lines } = makeClient([broker.url]);
    const caller = new AbortController();
    const call = codeOf(client.wrap(DEK, undefined, { ...within(5_000), signal: caller.signal }));
    await arrived;
    caller.abort();
    expect(await call).toBe("Cancelled");
    expect(broker.count()).toBe(1);
    expect(lines).toEqual([]);
    gate.release();
  });
});

describe("TLS", () => {
  test("a broker under the given authority is believed, under none it is not", async () => {
    const tls = makeCertificate();
    const broker = await FakeBroker.start(tls);
    try {
      const known = makeClient([broker.url], { ca: tls.cert });
      expect(await codeOf(known.client.status(within(10_000)))).toBe("none");
      const clock = new SkippingClock();
      const unknown = makeClient([broker.url], { clock });
      expect(await codeOf(unknown.client.status(within(5_000, clock)))).toBe("Unreachable");
      expect(unknown.lines.join()).toContain("CERT");
      expect(broker.count()).toBe(1);
    } finally {
      await broker.stop();
    }
  });
});

describe("a proxy in the environment", () => {
  /** Passes on whatever CONNECT asks for. */
  async function startProxy() {
    const asked: string[] = [];
    const proxy = createServer((request, response) => {
      asked.push(`${request.method} ${request.url}`);
      response.writeHead(502).end();
    });
    proxy.on("connect", (request, client) => {
      asked.push(`CONNECT ${request.url}`);
      const { hostname, port } = new URL(`http://${request.url}`);
      const upstream = connect(Number(port), hostname, () => client.write("HTTP/1.1 200 OK\r\n\r\n"));
      upstream.on("error", () => client.destroy());
      client.on("error", () => upstream.destroy());
      client.pipe(upstream).pipe(client);
    });
    proxy.listen(0, "127.0.0.1");
    await once(proxy, "listening");
    onTestFinished(() => {
      proxy.closeAllConnections();
      proxy.close();
    });
    const address = proxy.address();
    const port = typeof address === "object" ? address?.port : undefined;
    for (const name of ["http_proxy", "https_proxy"]) vi.stubEnv(name, `http://127.0.0.1:${port}`);
    vi.stubEnv("no_proxy", "");
    onTestFinished(() => void vi.unstubAllEnvs());
    return asked;
  }

  test("tunnels TLS, end to end under the given authority", async () => {
    const tls = makeCertificate();
    const broker = await FakeBroker.start(tls);
    onTestFinished(() => broker.stop());
    const asked = await startProxy();
    const { client } = makeClient([broker.url], { ca: tls.cert });
    expect(await codeOf(client.status(within(10_000)))).toBe("none");
    expect(asked).toEqual([`CONNECT ${new URL(broker.url).host}`]);
    const clock = new SkippingClock();
    const distrustful = makeClient([broker.url], { clock });
    expect(await codeOf(distrustful.client.status(within(5_000, clock)))).toBe("Unreachable");
    expect(broker.count()).toBe(1);
  });

  test("never sees what is in clear: plain http on loopback goes past it", async () => {
    const broker = await startBroker();
    const asked = await startProxy();
    const { client } = makeClient([broker.url]);
    await client.wrap(DEK, undefined, within(4_000));
    expect(asked).toEqual([]);
  });
});

describe("several brokers", () => {
  const FAILURES: readonly [string, Behaviour][] = [
    ["breaks off before the act", hangsUp("before")],
    ["breaks off after the act", hangsUp("after")],
    ["answers 500 after the act", refuses("Internal", {}, "after")],
    ["answers 503", refuses("DependencyTimeout")],
    ["answers 429", refuses("Throttled", { "retry-after": "30" })],
    ["answers 401", refuses("AuthenticationFailed")],
    ["answers 403", refuses("AccessDenied")],
    ["answers half", truncates],
    ["is a proxy's page", says(502, { "content-type": "text/html" }, "bad gateway")],
    ["is silent", staysSilent],
  ];
  test.each(FAILURES)(
    "when the first %s the second is asked, within the deadline",
    async (_name, behaviour) => {
      const [first, second] = await startBrokers(2);
      first!.always = behaviour;
      const { client } = makeClient([first!.url, second!.url]);
      expect((await client.status(within(4_000))).state).toBe("ACTIVE");
      expect([first!.count(), second!.count()]).toEqual([1, 1]);
    },
  );

  test.each(["Validation", "InvalidCiphertext", "PayloadTooLarge", "Revoked"] as const)(
    "%s is final: nobody else is asked",
    async (code) => {
      const [first, second] = await startBrokers(2);
      first!.always = refuses(code);
      const { client } = makeClient([first!.url, second!.url]);
      expect(await codeOf(client.status(within(4_000)))).toBe(code);
      expect([first!.count(), second!.count()]).toEqual([1, 0]);
    },
  );

  test("a denial counts once none accepts, whatever else the others answer", async () => {
    const [first, second] = await startBrokers(2);
    first!.always = refuses("AccessDenied");
    second!.always = refuses("AuthenticationFailed");
    const clock = new SkippingClock();
    const { client, refusals } = makeClient([first!.url, second!.url], { clock });
    expect(await codeOf(client.status(within(5_000, clock)))).toBe("AccessDenied");
    expect([first!.count(), second!.count()]).toEqual([1, 1]);
    expect(refusals.count).toBe(2);
    second!.always = hangsUp("before");
    expect(await codeOf(client.status(within(5_000, clock)))).toBe("AccessDenied");
  });

  test("a broken one is not asked first again, until it has cooled down", async () => {
    const [first, second] = await startBrokers(2);
    first!.next(hangsUp("before"));
    const clock = new ManualClock();
    const { client } = makeClient([first!.url, second!.url], { clock });
    for (let call = 0; call < 20; call++) await client.status(within(4_000, clock));
    expect([first!.count(), second!.count()]).toEqual([1, 20]);
    clock.advance(1_000);
    for (let call = 0; call < 5; call++) await client.status(within(4_000, clock));
    expect([first!.count(), second!.count()]).toEqual([6, 20]);
  });

  test("silence of the first leaves the second its share", async () => {
    const [first, second] = await startBrokers(2);
    first!.always = staysSilent;
    const { client } = makeClient([first!.url, second!.url]);
    const started = performance.now();
    await client.wrap(DEK, undefined, within(3_000));
    expect(performance.now() - started).toBeLessThan(2_900);
    expect(Number(second!.calls[0]?.headers["x-timeout-ms"])).toBeGreaterThan(500);
  });
});

describe("a key id", () => {
  const JSON_TYPE = { "content-type": "application/json" };
  const answersOf = (keyId: string): readonly [string, Behaviour][] => [
    ["wrap", says(200, JSON_TYPE, JSON.stringify({ ciphertext: "AAAA", keyId }))],
    [
      "status",
      ({ response, effect }) => {
        response.writeHead(200, JSON_TYPE).end(JSON.stringify(Object.assign(effect() ?? {}, { keyId })));
      },
    ],
  ];

  test.each([
    ["is empty", ""],
    ["is of another KEK", "prod-secrets2.0.aaaaaaaaaaaaaaaa"],
    ["is only the KEK's name", "prod-secrets"],
    ["has a line's end", "prod-secrets.0.aaaa\n"],
    ["has a space", "prod-secrets.0.aa aa"],
    ["is not ASCII", "prod-secrets.0.ä"],
    ["has 129 characters", "prod-secrets.".padEnd(129, "a")],
  ])("that %s makes a bad answer, and the next broker is asked", async (_name, keyId) => {
    for (const [operation, answer] of answersOf(keyId)) {
      const [first, second] = await startBrokers(2);
      first!.always = answer;
      const clock = new SkippingClock();
      const ask = (client: BrokerClient) =>
        operation === "wrap"
          ? client.wrap(DEK, undefined, within(4_000, clock))
          : client.status(within(4_000, clock));
      const both = makeClient([first!.url, second!.url], { clock });
      expect((await ask(both.client)).keyId).toBe(second!.keyId);
      const alone = makeClient([first!.url], { clock });
      expect(await codeOf(ask(alone.client))).toBe("BadAnswer");
    }
  });

  test("of 128 characters is taken", async () => {
    const broker = await startBroker();
    broker.keyId = "prod-secrets.".padEnd(128, "a");
    const { client } = makeClient([broker.url]);
    expect((await client.status(within(4_000))).keyId).toBe(broker.keyId);
  });
});

describe("retries", () => {
  test("a failure that may pass is tried again within the deadline", async () => {
    const broker = await startBroker();
    broker.next(hangsUp("before"), refuses("DependencyTimeout"));
    const { client } = makeClient([broker.url]);
    expect((await client.status(within(4_000))).state).toBe("ACTIVE");
    expect(broker.count()).toBe(3);
  });

  test("Retry-After is kept to: sooner than that nothing is sent", async () => {
    const broker = await startBroker();
    broker.always = refuses("Throttled", { "retry-after": "5" });
    const { client } = makeClient([broker.url]);
    expect(await codeOf(client.status(within(4_000)))).toBe("Throttled");
    expect(broker.count()).toBe(1);
  });

  test("a broken broker and 300 callers: calls stay within one each and the budget of 10 and a tenth", async () => {
    const broker = await startBroker();
    broker.always = refuses("Internal");
    const { client, metrics } = makeClient([broker.url]);
    const codes = await Promise.all(Array.from({ length: 300 }, () => codeOf(client.status(within(3_000)))));
    expect(new Set(codes)).toEqual(new Set(["Internal"]));
    expect(broker.count()).toBeGreaterThan(300);
    expect(broker.count()).toBeLessThanOrEqual(300 + 10 + 30);
    expect(await metrics.text()).toMatch(/kek_shim_retry_budget_exhausted_total [1-9]/);
  });

  test("no call outlives its deadline", async () => {
    const [first, second] = await startBrokers(2);
    first!.always = staysSilent;
    second!.always = refuses("Internal");
    const { client } = makeClient([first!.url, second!.url]);
    const started = performance.now();
    expect(await codeOf(client.status(within(700)))).toBe("Internal");
    expect(performance.now() - started).toBeLessThan(1_400);
  });
});

describe("a wrong clock", () => {
  const HOUR = 3_600_000;

  function clockedIdentity() {
    const walls: number[] = [];
    const token = async ({ wall }: { wall: number }) => {
      walls.push(wall - Date.now());
      return "a.b.c";
    };
    return { walls, identity: { token, refused: () => undefined } };
  }

  test("is corrected by the broker's Date, and the call repeated at once", async () => {
    const broker = await startBroker();
    broker.clockAhead = 3 * HOUR;
    broker.next(refuses("ClockSkew"));
    const { walls, identity } = clockedIdentity();
    const { client, lines } = makeClient([broker.url], { identity });
    expect((await client.status(within(4_000))).state).toBe("ACTIVE");
    expect(broker.count()).toBe(2);
    expect(walls[0]).toBeLessThan(1_000);
    expect(Math.abs((walls[1] ?? 0) - 3 * HOUR)).toBeLessThan(2_000);
    expect(lines.join("\n")).toContain('"event":"clock corrected"');
  });

  test("is left alone within 5 s, and beyond 24 h the broker is not believed", async () => {
    const broker = await startBroker();
    const { walls, identity } = clockedIdentity();
    const { client, lines } = makeClient([broker.url], { identity });
    broker.always = refuses("ClockSkew");
    for (const ahead of [-3_000, 25 * HOUR, 25 * HOUR]) {
      broker.clockAhead = ahead;
      expect(await codeOf(client.status(within(4_000)))).toBe("ClockSkew");
    }
    expect(broker.count()).toBe(3);
    expect(Math.max(...walls.map(Math.abs))).toBeLessThan(1_000);
    expect(lines.join("\n")).toContain('"event":"clock too far off"');
  });

  test.each([
    ["a 200", undefined],
    ["a 401 of another kind", refuses("AuthenticationFailed")],
    ["a 403", refuses("AccessDenied")],
    ["a proxy's page", says(502, { "content-type": "text/html" }, "bad gateway")],
  ])("is not believed of %s: only ClockSkew tells of the clock", async (_name, behaviour) => {
    const broker = await startBroker();
    broker.clockAhead = 3 * HOUR;
    if (behaviour !== undefined) broker.next(behaviour);
    const { walls, identity } = clockedIdentity();
    const clock = new SkippingClock();
    const { client, lines } = makeClient([broker.url], { identity, clock });
    await codeOf(client.status(within(4_000, clock)));
    await client.status(within(4_000, clock));
    expect(Math.max(...walls.map(Math.abs))).toBeLessThan(1_000);
    expect(lines.join()).not.toContain('"event":"clock');
  });

  test("that is put right later is not corrected any more", async () => {
    const broker = await startBroker();
    broker.clockAhead = 3 * HOUR;
    broker.next(refuses("ClockSkew"));
    const { walls, identity } = clockedIdentity();
    const { client } = makeClient([broker.url], { identity });
    await client.status(within(4_000));
    broker.clockAhead = 0;
    broker.next(refuses("ClockSkew"));
    await client.status(within(4_000));
    expect(walls.map((wall) => Math.round(wall / HOUR))).toEqual([0, 3, 3, 0]);
  });

  test("that was not the reason leads to no second call", async () => {
    const broker = await startBroker();
    broker.always = refuses("AuthenticationFailed");
    const { client } = makeClient([broker.url]);
    expect(await codeOf(client.status(within(4_000)))).toBe("AuthenticationFailed");
    expect(broker.count()).toBe(1);
  });
});
