import * as fc from "fast-check";
import { describe, expect, it } from "vitest";

import { canonicalJson, configDigest } from "../../src/config/digest.ts";
import { EVERYDAY, parse, parseValue, small } from "./fixture.ts";

describe("configDigest", () => {
  const digestOf = (value: object) => configDigest(parseValue(value));

  it("is the hex SHA-256 of the canonical JSON with its defaults", async () => {
    const config = parse("audience: https://kek.example.com");
    expect(canonicalJson(config)).toBe(
      '{"allowDevelopmentKeys":false,"audience":"https://kek.example.com","audit":{"stdout":true},"clusters":{},"keks":{},' +
        '"listen":"127.0.0.1:8080","private":"127.0.0.1:8081","rateLimit":{"cluster":{"burst":2000,"perSecond":200},' +
        '"principal":{"burst":500,"perSecond":50}},"revoked":[]}',
    );
    // By sha256sum, of exactly that text.
    expect(await configDigest(config)).toBe(
      "660ec9bad1c32029d202fa0cf9c0fa594d95cb06100b6b888beb4aa1af522a4a",
    );
  });

  it("is the same for comments, YAML or JSON, and another order of names", async () => {
    const { audience, keks, clusters } = small();
    const yaml = `# a comment\n${JSON.stringify({ clusters, keks, audience })} # another`;
    expect(await configDigest(parse(yaml))).toBe(await digestOf({ audience, keks, clusters }));
  });

  it("is the same for defaults written out and for other words of the same time", async () => {
    const written = await digestOf({ ...small(), listen: "127.0.0.1:8080", revoked: [] });
    expect(written).toBe(await digestOf(small()));
    const other = EVERYDAY.replace("2027-11-01", "2027-11-01T01:00:00+01:00");
    expect(await configDigest(parse(other))).toBe(await configDigest(parse(EVERYDAY)));
  });

  it("is another for another value", async () => {
    const revoked = await digestOf({ ...small(), revoked: ["eu"] });
    expect(revoked).not.toBe(await digestOf(small()));
  });
});

describe("canonicalJson", () => {
  it("does not depend on the order of names", () => {
    fc.assert(
      fc.property(fc.dictionary(fc.string(), fc.jsonValue()), (value) => {
        const reversed = Object.fromEntries(Object.entries(value).toReversed());
        expect(canonicalJson(reversed)).toBe(canonicalJson(value));
      }),
    );
  });

  it("is JSON of the same value, so that different values are different texts", () => {
    fc.assert(
      fc.property(fc.jsonValue(), (value) => {
        expect(JSON.parse(canonicalJson(value))).toEqual(JSON.parse(JSON.stringify(value)));
      }),
    );
  });

  it("sorts names by UTF-16 code units, as RFC 8785 does (its own example)", () => {
    const value = { "€": 1, "\r": 2, "\ufb33": 3, "1": 4, "😂": 5, "\u0080": 6, ö: 7 };
    expect(canonicalJson(value)).toBe('{"\\r":2,"1":4,"\u0080":6,"ö":7,"€":1,"😂":5,"\ufb33":3}');
  });

  it("leaves absent fields out and keeps the order of lists", () => {
    expect(canonicalJson({ b: [2, 1], a: undefined })).toBe('{"b":[2,1]}');
  });
});
