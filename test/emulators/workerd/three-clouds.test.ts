import { afterAll, beforeAll, expect, it } from "vitest";

import { describeBroker } from "../../conformance/http/suite.ts";
import { startWorkerdBroker } from "../../conformance/http/workerd.ts";
import { type NamedClouds, startNamedClouds } from "../clouds/emulated-clouds.ts";

let clouds: NamedClouds;

beforeAll(async () => {
  clouds = await startNamedClouds();
});
afterAll(() => clouds?.close());

describeBroker(
  "workerd, by its own identity at AWS, Google and Azure (our fakes)",
  ({ config }) =>
    startWorkerdBroker(JSON.stringify({ ...(JSON.parse(config) as object), identity: clouds.identity }), {
      bindings: { KEK_BROKER_SIGNING_KEY: clouds.signingKey },
      outbound: (request) => clouds.answer(request),
    }),
  { members: () => clouds.createMembers(), names: ["aws", "gcp", "az"], maxBytes: 800, callers: 8 },
);

it("has asked for tokens, and seldom", () => {
  const tokens = ["sts.us-east-1.amazonaws.com", "sts.googleapis.com", "login.microsoftonline.com"];
  for (const host of tokens) {
    expect(clouds.asked.get(host), host).toBeGreaterThanOrEqual(1);
    // Once, but for what a slow start cut short.
    expect(clouds.asked.get(host), host).toBeLessThanOrEqual(10);
  }
});
