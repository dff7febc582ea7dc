import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { call, send, type Answer, type Mistakes } from "./caller.ts";
import { KEK, makeFixture, type Fixture } from "./fixture.ts";

/** A broker under test, wherever it runs. */
export interface BrokerTarget {
  readonly url: string;
  readonly close: () => Promise<void>;
}

const WRAP = `/v1/keks/${KEK}/wrap`;
const UNWRAP = `/v1/keks/${KEK}/unwrap`;
const STATUS = `/v1/keks/${KEK}`;

function expectProblem(answer: Answer, status: number, code: string): void {
  expect({ status: answer.status, code: answer.json["code"] }, answer.text).toEqual({ status, code });
  expect(answer.headers["content-type"]).toMatch(/^application\/problem\+json/);
  expect(answer.headers["cache-control"]).toBe("no-store");
  expect(answer.json["status"]).toBe(status);
  expect(answer.json["title"]).toBeTypeOf("string");
  expect(String(answer.json["detail"]).length).toBeGreaterThan(10);
  expect(answer.json["retryable"]).toBeTypeOf("boolean");
  expect(answer.json["requestId"]).toBe(answer.headers["x-request-id"]);
  expect(answer.text).not.toMatch(/\bat .+\.(ts|js):\d+/);
}

/** A KEK in clouds, instead of a development key. */
export interface CloudKek {
  /** Made once the clouds are there. */
  readonly members: () => Record<string, unknown>;
  readonly names: readonly string[];
  /** The most bytes that its envelope of 32 bytes has. */
  readonly maxBytes: number;
  /** As many as the clouds' emulators answer within a call's time. */
  readonly callers: number;
}

const DEVELOPMENT_KEK = { names: ["dev"], maxBytes: 360, callers: 64 };

/** Black box: everything a caller may rely on, over HTTP alone. Runs against any broker that knows the fixture. */
export function describeBroker(
  name: string,
  start: (fixture: Fixture) => Promise<BrokerTarget>,
  cloud?: CloudKek,
): void {
  const { names, maxBytes, callers } = cloud ?? DEVELOPMENT_KEK;
  describe(`broker on ${name}`, () => {
    let fixture: Fixture;
    let broker: BrokerTarget;
    let target: { url: string; audience: string };

    beforeAll(async () => {
      fixture = await makeFixture(
        cloud === undefined ? {} : { keks: { [KEK]: { members: cloud.members() } } },
      );
      broker = await start(fixture);
      target = { url: broker.url, audience: fixture.audience };
    });
    afterAll(async () => {
      await broker?.close();
    });

    const as = (node: keyof Fixture["nodes"]) => fixture.nodes[node];
    /**
     * Asks again where clouds were too slow for a call's time, as callers do: several emulators, the broker and the
     * test share a machine. A development key is always in time.
     */
    async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
      const patience = cloud === undefined ? 1 : 60;
      let answer = await ask();
      for (let tries = 1; isLate(answer) && tries < patience; tries++) {
        await setTimeout(500);
        answer = await ask();
      }
      return answer;
    }
    const isLate = ({ status, json }: Answer): boolean =>
      (status === 503 && json["retryable"] === true) ||
      "degraded" in json ||
      (json["state"] ?? "ACTIVE") !== "ACTIVE";
    const wrap = (plaintext: Buffer, mistakes?: Mistakes) =>
      patiently(() =>
        call(target, as("primary"), "POST", WRAP, { plaintext: plaintext.toString("base64") }, mistakes),
      );
    const unwrap = (ciphertext: unknown, node: keyof Fixture["nodes"] = "primary") =>
      patiently(() => call(target, as(node), "POST", UNWRAP, { ciphertext }));
    const status = () => patiently(() => call(target, as("primary"), "GET", STATUS));

    /** The next good request works: nothing a bad one did may last. */
    async function expectStillServing(): Promise<void> {
      const key = randomBytes(32);
      const wrapped = await wrap(key);
      expect(wrapped.status, wrapped.text).toBe(200);
      const opened = await unwrap(wrapped.json["ciphertext"]);
      expect(opened.json["plaintext"], opened.text).toBe(key.toString("base64"));
    }

    describe("wrap and unwrap", () => {
      it.each([1, 32, 255, 256])("returns a key of %i bytes as it was", async (size) => {
        const key = randomBytes(size);
        const wrapped = await wrap(key);
        expect(wrapped.status, wrapped.text).toBe(200);
        expect(wrapped.headers["cache-control"]).toBe("no-store");
        expect(wrapped.json["keyId"]).toMatch(/^prod-secrets\.0\.[a-z2-7]{16}$/);
        expect(wrapped.json["degraded"]).toBeUndefined();
        const opened = await unwrap(wrapped.json["ciphertext"]);
        expect(opened.status, opened.text).toBe(200);
        expect(opened.json["plaintext"]).toBe(key.toString("base64"));
        expect(opened.json["keyId"]).toBe(wrapped.json["keyId"]);
      });

      it("makes another envelope each time, and each opens", async () => {
        const key = randomBytes(32);
        const [first, second] = [await wrap(key), await wrap(key)];
        expect(first.json["ciphertext"]).not.toBe(second.json["ciphertext"]);
        for (const { json } of [first, second]) {
          expect((await unwrap(json["ciphertext"])).json["plaintext"]).toBe(key.toString("base64"));
        }
      });

      it("keeps the plaintext out of the envelope", async () => {
        const key = Buffer.alloc(32, "K");
        const { json } = await wrap(key);
        expect(Buffer.from(String(json["ciphertext"]), "base64").includes("KKKKKKKK")).toBe(false);
      });

      it("fits kube-apiserver's 1,024 bytes", async () => {
        const { json } = await wrap(randomBytes(32));
        expect(Buffer.from(String(json["ciphertext"]), "base64").length).toBeLessThanOrEqual(maxBytes);
      });

      it("answers with the caller's request id, and makes one when there is none", async () => {
        const named = await wrap(randomBytes(32), { headers: { "x-request-id": "req-conformance-1" } });
        expect(named.headers["x-request-id"]).toBe("req-conformance-1");
        const unnamed = await wrap(randomBytes(32));
        expect(String(unnamed.headers["x-request-id"]).length).toBeGreaterThanOrEqual(16);
      });

      it(`serves ${callers} callers at once`, async () => {
        const answers = await Promise.all(
          Array.from({ length: callers }, async () => {
            const key = randomBytes(32);
            const wrapped = await wrap(key);
            const opened = await unwrap(wrapped.json["ciphertext"]);
            return opened.json["plaintext"] === key.toString("base64");
          }),
        );
        expect(answers.every(Boolean)).toBe(true);
      });
    });

    describe("status", () => {
      it("tells state, key id, members, lease and limits", async () => {
        const answer = await status();
        expect(answer.status, answer.text).toBe(200);
        expect(answer.json).toMatchObject({
          name: KEK,
          state: "ACTIVE",
          threshold: 1,
          members: names.map((name) => ({ name, use: "both", state: "available" })),
          lease: { maxAge: 600, staleIfError: 86_400, graceDenied: 3600 },
          features: expect.any(Array),
        });
        expect(answer.json["config"]).toMatch(/^[0-9a-f]{64}$/);
        expect(answer.json["maxCiphertext"]).toBeLessThanOrEqual(1024);
        expect((await wrap(randomBytes(32))).json["keyId"]).toBe(answer.json["keyId"]);
      });

      it("bounds what a wrap of 32 bytes can be", async () => {
        const { json } = await status();
        const wrapped = await wrap(randomBytes(32));
        expect(Buffer.from(String(wrapped.json["ciphertext"]), "base64").length).toBeLessThanOrEqual(
          Number(json["maxCiphertext"]),
        );
      });
    });

    describe("what needs no token", () => {
      it("answers livez", async () => {
        expect((await send(target.url, "GET", "/livez")).status).toBe(200);
      });

      it("publishes OpenAPI 3.1 with the three operations", async () => {
        const { json } = await send(target.url, "GET", "/openapi.json");
        expect(json["openapi"]).toBe("3.1.0");
        expect(Object.keys(json["paths"] as object)).toEqual(
          expect.arrayContaining(["/v1/keks/{kek}", "/v1/keks/{kek}/wrap", "/v1/keks/{kek}/unwrap"]),
        );
      });

      it.each(["/readyz", "/metrics"])("does not answer %s on the public port", async (path) => {
        expectProblem(await send(target.url, "GET", path), 404, "NotFound");
      });
    });

    describe("refuses a caller", () => {
      const soon = () => Math.floor(Date.now() / 1000);
      const cases: [string, Mistakes | (() => Mistakes), number, string][] = [
        ["without a token", { headers: { authorization: null } }, 401, "AuthenticationFailed"],
        ["with another scheme", { headers: { authorization: "Basic YTpi" } }, 401, "AuthenticationFailed"],
        ["with garbage for a token", { token: "garbage" }, 401, "AuthenticationFailed"],
        ["with an empty token", { token: "" }, 401, "AuthenticationFailed"],
        ["with a token over 8 KiB", { token: "e".repeat(9000) }, 401, "AuthenticationFailed"],
        [
          "whose issuer is another cluster",
          { claims: { iss: "prod-us-1/cp-1" } },
          401,
          "AuthenticationFailed",
        ],
        ["whose issuer is unknown", { claims: { iss: "nowhere/cp-1" } }, 401, "AuthenticationFailed"],
        ["whose subject is another node", { claims: { sub: "prod-eu-1/cp-2" } }, 401, "AuthenticationFailed"],
        [
          "who claims to be another node",
          { claims: { iss: "prod-eu-1/cp-3", sub: "prod-eu-1/cp-3" } },
          401,
          "AuthenticationFailed",
        ],
        ["for another audience", { claims: { aud: "https://else.example" } }, 401, "AuthenticationFailed"],
        ["without an audience", { claims: { aud: null } }, 401, "AuthenticationFailed"],
        [
          "for a list of audiences",
          { claims: { aud: ["https://kek.conformance.test", "https://else.example"] } },
          401,
          "AuthenticationFailed",
        ],
        [
          "whose token has expired",
          () => ({ claims: { iat: soon() - 120, exp: soon() - 90 } }),
          401,
          "ClockSkew",
        ],
        [
          "whose token is from the future",
          () => ({ claims: { iat: soon() + 90, exp: soon() + 120 } }),
          401,
          "ClockSkew",
        ],
        [
          "whose token lives over 60 s",
          () => ({ claims: { exp: soon() + 120 } }),
          401,
          "AuthenticationFailed",
        ],
        ["without exp", { claims: { exp: null } }, 401, "AuthenticationFailed"],
        ["without iat", { claims: { iat: null } }, 401, "AuthenticationFailed"],
        ["without jti", { claims: { jti: null } }, 401, "AuthenticationFailed"],
        ["without htm", { claims: { htm: null } }, 401, "AuthenticationFailed"],
        ["without htu", { claims: { htu: null } }, 401, "AuthenticationFailed"],
        ["without bh", { claims: { bh: null } }, 401, "AuthenticationFailed"],
        ["whose token is for another method", { claims: { htm: "GET" } }, 401, "AuthenticationFailed"],
        ["whose token is for another path", { claims: { htu: UNWRAP } }, 401, "AuthenticationFailed"],
        [
          "whose token is for another body",
          { claims: { bh: "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU" } },
          401,
          "AuthenticationFailed",
        ],
        [
          "who replays a token with another body",
          { sentBody: '{"plaintext":"AAAA"}' },
          401,
          "AuthenticationFailed",
        ],
        ["whose token has no typ", { header: { typ: null } }, 401, "AuthenticationFailed"],
        ["whose token is an at+jwt", { header: { typ: "at+jwt" } }, 401, "AuthenticationFailed"],
        [
          "whose token names critical extensions",
          { header: { crit: ["exp2"], exp2: true } },
          401,
          "AuthenticationFailed",
        ],
      ];
      it.each(cases)("%s", async (_, mistakes, status, code) => {
        const made = typeof mistakes === "function" ? mistakes() : mistakes;
        const header = made.header?.["crit"] === undefined ? made : { token: critical() };
        expectProblem(await wrap(randomBytes(32), header), status, code);
        await expectStillServing();
      });

      it("who signs with a key that is registered nowhere", async () => {
        expectProblem(await wrap(randomBytes(32), { signWith: as("stranger") }), 401, "AuthenticationFailed");
      });
      it("who signs with another cluster's key", async () => {
        expectProblem(
          await wrap(randomBytes(32), { signWith: as("otherCluster") }),
          401,
          "AuthenticationFailed",
        );
      });
      it("who signs with another node's key", async () => {
        expectProblem(await wrap(randomBytes(32), { signWith: as("expired") }), 401, "AuthenticationFailed");
      });
      it("who names no algorithm", async () => {
        const none = `${Buffer.from('{"alg":"none","typ":"kek-node+jwt"}').toString("base64url")}.${Buffer.from(
          '{"iss":"prod-eu-1/cp-1","sub":"prod-eu-1/cp-1"}',
        ).toString("base64url")}.`;
        expectProblem(await wrap(randomBytes(32), { token: none }), 401, "AuthenticationFailed");
      });
      it("who is revoked, at once and by name", async () => {
        expectProblem(await call(target, as("revoked"), "GET", STATUS), 403, "Revoked");
      });
      it("whose registration has ended", async () => {
        expectProblem(await call(target, as("expired"), "GET", STATUS), 401, "AuthenticationFailed");
      });
      it("who may not wrap", async () => {
        const body = { plaintext: randomBytes(32).toString("base64") };
        expectProblem(await call(target, as("reader"), "POST", WRAP, body), 403, "AccessDenied");
        expect((await call(target, as("reader"), "GET", STATUS)).status).toBe(200);
      });
      it("in the same words for a KEK that does not exist", async () => {
        const there = await call(target, as("reader"), "POST", WRAP, { plaintext: "AAAA" });
        const nowhere = await call(target, as("reader"), "POST", "/v1/keks/no-such-kek/wrap", {
          plaintext: "AAAA",
        });
        expectProblem(nowhere, 403, "AccessDenied");
        expect(nowhere.json["detail"]).toBe(there.json["detail"]);
      });

      /** A token with an unknown critical extension, which a library refuses to sign: put together by hand. */
      function critical(): string {
        const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url");
        return `${part({ alg: "ES256", typ: "kek-node+jwt", crit: ["exp2"], exp2: true })}.${part({ iss: "prod-eu-1/cp-1", sub: "prod-eu-1/cp-1" })}.${part("x")}`;
      }
    });

    describe("refuses a request", () => {
      const good = { plaintext: randomBytes(32).toString("base64") };
      const wraps: [string, unknown][] = [
        ["without plaintext", {}],
        ["with a null plaintext", { plaintext: null }],
        ["with a number for plaintext", { plaintext: 7 }],
        ["with an empty plaintext", { plaintext: "" }],
        ["with 257 bytes of plaintext", { plaintext: randomBytes(257).toString("base64") }],
        ["with unpadded base64", { plaintext: "AAA" }],
        ["with base64url", { plaintext: "-_-_" }],
        ["with white space in base64", { plaintext: "AA AA==" }],
        ["with non-canonical base64", { plaintext: "AB==" }],
        ["with an unknown field", { ...good, extra: 1 }],
        ["with a uid that is a number", { ...good, uid: 1 }],
        ["with a uid over 64 characters", { ...good, uid: "u".repeat(65) }],
        ["with a uid holding a line break", { ...good, uid: "a\nb" }],
        ["that is a list", []],
        ["that is a text", '"text"'],
        ["that is not JSON", "{"],
        ["that is empty", ""],
        ["with a __proto__", '{"plaintext":"AAAA","__proto__":{"uid":"x"}}'],
      ];
      it.each(wraps)("to wrap %s", async (_, body) => {
        expectProblem(await call(target, as("primary"), "POST", WRAP, body), 400, "Validation");
        await expectStillServing();
      });

      const unwraps: [string, unknown][] = [
        ["without ciphertext", {}],
        ["with a list for ciphertext", { ciphertext: ["AAAA"] }],
        ["with an empty ciphertext", { ciphertext: "" }],
        ["with over 4 KiB of ciphertext", { ciphertext: randomBytes(4097).toString("base64") }],
        ["with bad base64", { ciphertext: "****" }],
        ["with plaintext instead", good],
      ];
      it.each(unwraps)("to unwrap %s", async (_, body) => {
        expectProblem(await call(target, as("primary"), "POST", UNWRAP, body), 400, "Validation");
        await expectStillServing();
      });

      it("over 8 KiB", async () => {
        const body = { plaintext: "A".repeat(9000) };
        expectProblem(await call(target, as("primary"), "POST", WRAP, body), 413, "PayloadTooLarge");
        await expectStillServing();
      });
      it.each([
        ["text/plain", "text/plain"],
        ["no type at all", null],
        ["a form", "application/x-www-form-urlencoded"],
      ])("whose body is %s", async (_, type) => {
        const headers = { "content-type": type };
        expectProblem(
          await call(target, as("primary"), "POST", WRAP, good, { headers }),
          415,
          "UnsupportedMediaType",
        );
      });
      it.each([
        ["GET", WRAP],
        ["PUT", WRAP],
        ["DELETE", STATUS],
        ["POST", STATUS],
      ])("by %s to %s", async (method, path) => {
        const answer = await send(target.url, method, path);
        expectProblem(answer, 405, "MethodNotAllowed");
        expect(answer.headers["allow"]).toBeTruthy();
      });
      it.each(["/", "/v1", "/v1/keks", "/v2/keks/x/wrap", `${STATUS}/rewrap`, "/.env"])(
        "to %s",
        async (path) => {
          expectProblem(await send(target.url, "GET", path), 404, "NotFound");
        },
      );
      it.each(["-1", "soon", "1e3", "0"])("with X-Timeout-Ms: %s", async (value) => {
        const answer = await wrap(randomBytes(32), { headers: { "x-timeout-ms": value } });
        expectProblem(answer, 400, "Validation");
      });
      it("gives no CORS to a browser", async () => {
        const answer = await send(target.url, "GET", "/livez", { origin: "https://evil.example" });
        expect(Object.keys(answer.headers).filter((header) => header.startsWith("access-control"))).toEqual(
          [],
        );
      });
    });

    describe("refuses an envelope", () => {
      it("that is garbage", async () => {
        for (const size of [1, 16, 200, 360, 1024, 4096]) {
          const answer = await unwrap(randomBytes(size).toString("base64"));
          expectProblem(answer, 400, "InvalidCiphertext");
        }
        await expectStillServing();
      });

      it("that lost its end, at any length", async () => {
        const whole = Buffer.from(String((await wrap(randomBytes(32))).json["ciphertext"]), "base64");
        for (let length = 1; length < whole.length; length++) {
          const answer = await unwrap(whole.subarray(0, length).toString("base64"));
          expect(answer.status, `cut to ${length}: ${answer.text}`).toBe(400);
        }
        await expectStillServing();
      });

      // Each flip that only the opened key shows is a call to a cloud: there one bit of every byte.
      it("with any one bit flipped", async () => {
        const whole = Buffer.from(String((await wrap(randomBytes(32))).json["ciphertext"]), "base64");
        const flips = Array.from({ length: whole.length * 8 }, (_, bit) => bit).filter(
          (bit) => cloud === undefined || (bit & 7) === ((bit >> 3) & 7),
        );
        const accepted: number[] = [];
        const codes = new Set<unknown>();
        const next = async (): Promise<void> => {
          for (let bit = flips.pop(); bit !== undefined; bit = flips.pop()) {
            const flipped = Buffer.from(whole);
            flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7));
            const answer = await unwrap(flipped.toString("base64"));
            // A later format's version is not this broker's to judge: 501.
            const refused = answer.status >= 400 && (answer.status < 500 || answer.status === 501);
            if (!refused) accepted.push(bit);
            codes.add(answer.json["code"]);
          }
        };
        await Promise.all(Array.from({ length: 8 }, next));
        expect(accepted).toEqual([]);
        for (const code of codes) {
          expect([
            "InvalidCiphertext",
            "SealedByAnotherCluster",
            "UnsupportedOperation",
            "KeyUnavailable",
          ]).toContain(code);
        }
        await expectStillServing();
      }, 60_000);

      it("of another cluster", async () => {
        const { json } = await wrap(randomBytes(32));
        expectProblem(await unwrap(json["ciphertext"], "otherCluster"), 403, "SealedByAnotherCluster");
      });
    });
  });
}
