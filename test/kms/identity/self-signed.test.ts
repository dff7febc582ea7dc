import { verify, createPublicKey } from "node:crypto";

import { describe, expect, it } from "vitest";

import { createSelfSigned } from "../../../src/kms/identity/self-signed.ts";
import { importSigningKey, SigningKeyError } from "../../../src/kms/identity/signing-key.ts";
import { clock, ISSUER, KEY, NOW_S, OTHER_KEY, published, signingKey, SUBJECT } from "./issuer.ts";

const signal = new AbortController().signal;

function decoded(token: string) {
  const [header, claims] = token.split(".").map((part) => Buffer.from(part, "base64url").toString());
  return {
    header: JSON.parse(header ?? "") as object,
    claims: JSON.parse(claims ?? "") as Record<string, unknown>,
  };
}

describe("the broker's own token", () => {
  it("says who signs, whom it means, for whom, and lives for five minutes", async () => {
    const source = createSelfSigned({
      url: ISSUER,
      subject: SUBJECT,
      key: () => signingKey(),
      now: clock().now,
    });
    const { header, claims } = decoded(await source("their-audience", signal));
    expect(header).toEqual({ alg: "RS256", kid: "key-1", typ: "JWT" });
    expect(claims).toEqual({
      iss: ISSUER,
      sub: SUBJECT,
      aud: "their-audience",
      iat: NOW_S - 30,
      exp: NOW_S + 270,
      jti: expect.stringMatching(/^[0-9a-f-]{36}$/),
    });
  });

  it("is signed by the key that is published", async () => {
    const source = createSelfSigned({
      url: ISSUER,
      subject: SUBJECT,
      key: () => signingKey(),
      now: clock().now,
    });
    const [head, body, signature = ""] = (await source("a", signal)).split(".");
    const key = createPublicKey({ key: published(), format: "jwk" });
    expect(verify("sha256", Buffer.from(`${head}.${body}`), key, Buffer.from(signature, "base64url"))).toBe(
      true,
    );
  });

  it("is another each time", async () => {
    const source = createSelfSigned({
      url: ISSUER,
      subject: SUBJECT,
      key: () => signingKey(),
      now: clock().now,
    });
    const [one, other] = await Promise.all([source("a", signal), source("a", signal)]);
    expect(decoded(one).claims["jti"]).not.toBe(decoded(other).claims["jti"]);
  });

  it("is signed by a key that was put in place of the last one", async () => {
    let key = KEY;
    const source = createSelfSigned({
      url: ISSUER,
      subject: SUBJECT,
      key: () => signingKey(key),
      now: clock().now,
    });
    await source("a", signal);
    key = OTHER_KEY;
    expect(decoded(await source("a", signal)).header).toMatchObject({ kid: "key-2" });
  });

  it("is none without a key, and says nothing of why but that", async () => {
    const key = () => Promise.reject(new Error("ENOENT: /etc/secret/place"));
    const source = createSelfSigned({ url: ISSUER, subject: SUBJECT, key, now: clock().now });
    const failure: unknown = await source("a", signal).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: "ProviderError", code: "AccessDenied" });
    expect(failure).not.toHaveProperty("cause");
    expect(String(failure)).not.toContain("/etc");
  });
});

describe("a signing key", () => {
  const text = JSON.stringify(KEY);
  const without = (field: keyof typeof KEY) => JSON.stringify({ ...KEY, [field]: undefined });

  it("is not extractable once it is read", async () => {
    const { key, kid } = await importSigningKey(text);
    expect([key.extractable, kid]).toEqual([false, "key-1"]);
  });

  it.each([
    ["nothing", ""],
    ["not JSON", "-----BEGIN PRIVATE KEY-----"],
    ["a public key", JSON.stringify(published())],
    ["a key without a kid", without("kid")],
    ["a key without an algorithm", without("alg")],
    ["a key for another algorithm", text.replace("RS256", "PS256")],
    ["a key for encryption", text.replace('"sig"', '"enc"')],
    ["a key with other fields", JSON.stringify({ ...KEY, key_ops: ["sign"] })],
    ["numbers that are no key", JSON.stringify({ ...KEY, n: "AQAB", d: "AQAB" })],
    ["a file that is not a key's", text + " ".repeat(10_000)],
  ])("is refused if it is %s, and the message holds nothing of it", async (_name, text) => {
    const failure: unknown = await importSigningKey(text).catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(SigningKeyError);
    expect(String(failure)).not.toContain(KEY.d.slice(0, 8));
    expect(String(failure)).not.toContain(KEY.n.slice(0, 8));
    expect(failure).not.toHaveProperty("cause");
  });
});
