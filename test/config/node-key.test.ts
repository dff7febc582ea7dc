import { calculateJwkThumbprint, importJWK, jwtVerify, SignJWT } from "jose";
import { describe, expect, it } from "vitest";

import { makeNodeKey } from "../../src/config/node-key.ts";
import { NODE_ASSERTION_ALGORITHMS } from "../../src/wire/node-assertion.ts";
import { NodeJwk } from "../../src/config/node-jwk.ts";

describe.each(NODE_ASSERTION_ALGORITHMS)("makeNodeKey(%s)", (alg) => {
  it("makes two halves of one key", async () => {
    const { privateKey, publicKey } = await makeNodeKey(alg);
    const token = await new SignJWT({}).setProtectedHeader({ alg }).sign(await importJWK(privateKey));
    await expect(jwtVerify(token, await importJWK(publicKey))).resolves.toBeDefined();
  });

  it("makes a public half that the configuration takes, and a private one that it refuses", async () => {
    const { privateKey, publicKey } = await makeNodeKey(alg);
    expect(NodeJwk.safeParse(publicKey).success).toBe(true);
    expect(NodeJwk.safeParse(privateKey).success).toBe(false);
    expect(Object.keys(privateKey).filter((field) => !(field in publicKey))).toEqual(["d"]);
  });

  it("names the key by its RFC 7638 thumbprint", async () => {
    const { publicKey } = await makeNodeKey(alg);
    expect(publicKey.kid).toBe(await calculateJwkThumbprint(publicKey));
  });

  it("makes another key each time", async () => {
    expect((await makeNodeKey(alg)).publicKey.kid).not.toBe((await makeNodeKey(alg)).publicKey.kid);
  });
});
