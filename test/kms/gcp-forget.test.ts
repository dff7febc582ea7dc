import { afterAll, beforeAll, beforeEach, expect, it, vi } from "vitest";

import { createGoogleSdk } from "../../src/kms/gcp-sdk.ts";
import type { GoogleKms } from "../../src/kms/google-kms.ts";
import { type LoopbackServer, startLoopbackServer } from "../emulators/loopback-server.ts";

const forget = vi.hoisted(() => vi.fn<() => void>());
// Google's own endpoint alone is asked with default credentials.
vi.mock(import("../../src/kms/gcp-credentials.ts"), () => ({
  authorizationOf: () => Object.assign(async () => ({ authorization: "Bearer a-token" }), { forget }),
}));

let server: LoopbackServer;
let kms: GoogleKms;
let status: number;
let error: object;

beforeAll(async () => {
  server = await startLoopbackServer(() => ({
    status,
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ error }),
  }));
  kms = createGoogleSdk({ endpoint: server.url, transport: "rest" });
});
afterAll(() => server.close());
beforeEach(() => void forget.mockClear());

const name = "projects/p/locations/l/keyRings/r/cryptoKeys/k";
const call = { signal: new AbortController().signal, requestId: "request-1" };

it.each([
  ["the token", 401, { status: "UNAUTHENTICATED" }, 1],
  ["the token, by a page of a proxy's", 401, {}, 1],
  ["what its bearer wants", 403, { status: "PERMISSION_DENIED" }, 0],
])("credentials are forgotten if Google refuses %s", async (_, code, said, times) => {
  [status, error] = [code, said];
  await expect(kms.getCryptoKey(name, call)).rejects.toMatchObject({ code: "AccessDenied" });
  expect(forget).toHaveBeenCalledTimes(times);
});
