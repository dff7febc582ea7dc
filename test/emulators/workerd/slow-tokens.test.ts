import { randomBytes } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { call, type Answer } from "../../conformance/http/caller.ts";
import { type Fixture, KEK, makeFixture } from "../../conformance/http/fixture.ts";
import type { BrokerTarget } from "../../conformance/http/suite.ts";
import { startWorkerdBroker } from "../../conformance/http/workerd.ts";
import { type NamedClouds, startNamedClouds } from "../clouds/emulated-clouds.ts";

const TOKEN_HOSTS = {
  aws: "sts.us-east-1.amazonaws.com",
  gcp: "sts.googleapis.com",
  az: "login.microsoftonline.com",
} as const;

let clouds: NamedClouds;
beforeAll(async () => {
  clouds = await startNamedClouds();
});
afterAll(() => clouds?.close());

describe.each(["aws", "gcp", "az"] as const)("a Worker whose first token from %s comes late", (member) => {
  const host = TOKEN_HOSTS[member];
  let fixture: Fixture;
  let broker: BrokerTarget;
  let release: () => void;
  let asked = 0;

  const wrap = (): Promise<Answer> =>
    call(
      { url: broker.url, audience: fixture.audience },
      fixture.nodes.primary,
      "POST",
      `/v1/keks/${KEK}/wrap`,
      { plaintext: randomBytes(32).toString("base64") },
    );

  beforeAll(async () => {
    const members = { [member]: clouds.createMembers()[member] };
    const rsa = member === "az" ? { allowRsaOnly: true } : {};
    fixture = await makeFixture({ keks: { [KEK]: { members, ...rsa } }, identity: clouds.identity });
    const released = new Promise<void>((resolve) => (release = resolve));
    broker = await startWorkerdBroker(fixture.config, {
      bindings: { KEK_BROKER_SIGNING_KEY: clouds.signingKey },
      outbound: async (request) => {
        if (new URL(request.url).host === host && (asked += 1) === 1) await released;
        return clouds.answer(request);
      },
    });
  }, 60_000);
  afterAll(() => broker?.close());

  it("gets it all the same once the request that asked has failed, and asks but once", async () => {
    const first = await wrap();
    expect([first.status, first.json["code"]]).toEqual([503, "DependencyTimeout"]);
    expect(asked).toBe(1);
    release();
    // The Worker is told by nothing but the next request that what it waits for has come.
    let next = await wrap();
    for (let tries = 0; next.status !== 200 && tries < 20; tries += 1) {
      await setTimeout(50);
      next = await wrap();
    }
    expect(next.status).toBe(200);
    expect(asked).toBe(1);
  }, 60_000);
});
