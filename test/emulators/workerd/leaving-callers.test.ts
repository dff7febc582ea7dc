import { randomBytes } from "node:crypto";

import { afterAll, beforeAll, expect, it } from "vitest";

import { type Answer, send, signedHeaders } from "../../conformance/http/caller.ts";
import { type Fixture, KEK, makeFixture } from "../../conformance/http/fixture.ts";
import type { BrokerTarget } from "../../conformance/http/suite.ts";
import { startWorkerdBroker } from "../../conformance/http/workerd.ts";
import { type NamedClouds, startNamedClouds } from "../clouds/emulated-clouds.ts";

/** More than a member may have under way at once. */
const LEAVING = 70;
const WRAP = `/v1/keks/${KEK}/wrap`;

let clouds: NamedClouds;
let fixture: Fixture;
let broker: BrokerTarget;
let isHeld = false;
let held = 0;
let letGo: () => void = () => {};

beforeAll(async () => {
  clouds = await startNamedClouds();
  const members = { gcp: clouds.createMembers().gcp };
  fixture = await makeFixture({ keks: { [KEK]: { members } }, identity: clouds.identity });
  const released = new Promise<void>((resolve) => (letGo = resolve));
  broker = await startWorkerdBroker(fixture.config, {
    bindings: { KEK_BROKER_SIGNING_KEY: clouds.signingKey },
    callersMayLeave: true,
    outbound: async (request) => {
      if (isHeld && new URL(request.url).host === "cloudkms.googleapis.com") {
        held += 1;
        await released;
      }
      return clouds.answer(request);
    },
  });
}, 60_000);
afterAll(async () => {
  await broker?.close();
  await clouds?.close();
});

async function wrap(more: Record<string, string> = {}): Promise<Answer> {
  const body = JSON.stringify({ plaintext: randomBytes(32).toString("base64") });
  const headers = await signedHeaders(fixture.nodes.primary, fixture.audience, "POST", WRAP, body);
  return send(broker.url, "POST", WRAP, { ...headers, ...more }, body);
}

it("a Worker whose callers leave in the midst of it serves the next ones", async () => {
  expect((await wrap()).status).toBe(200);
  isHeld = true;
  const left = await Promise.all(
    Array.from({ length: LEAVING }, () => wrap({ "x-leave-after-ms": "300", "x-timeout-ms": "600" })),
  );
  expect(left.map(({ status }) => status)).toContain(499);
  expect(held).toBeGreaterThan(0);
  isHeld = false;
  letGo();
  // Calls of those who left end with the time that they had.
  await expect.poll(async () => (await wrap()).status, { timeout: 20_000, interval: 200 }).toBe(200);
}, 60_000);
