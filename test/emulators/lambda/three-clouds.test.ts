import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { call } from "../../conformance/http/caller.ts";
import { type Fixture, KEK, makeFixture } from "../../conformance/http/fixture.ts";
import type { BrokerTarget } from "../../conformance/http/suite.ts";
import { useSandbox } from "../../kubernetes/sandbox.ts";
import { type LoopbackClouds, startLoopbackClouds } from "../clouds/emulated-clouds.ts";
import { startLambdaBroker } from "./lambda-broker.ts";

const sandbox = useSandbox();

describe("the Lambda function with a KEK in three clouds (our fakes)", () => {
  let clouds: LoopbackClouds;
  let fixture: Fixture;
  let broker: BrokerTarget;

  beforeAll(async () => {
    clouds = await startLoopbackClouds();
    fixture = await makeFixture({
      keks: { [KEK]: { members: clouds.createMembers() } },
      identity: clouds.identity,
    });
    const ca = sandbox.path("vault.crt");
    writeFileSync(ca, clouds.ca);
    broker = await startLambdaBroker(sandbox, fixture.config, {
      KEK_BROKER_SIGNING_KEY: clouds.signingKey,
      NODE_EXTRA_CA_CERTS: ca,
    });
  });
  afterAll(async () => {
    await broker?.close();
    await clouds?.close();
  });

  const ask = (path: string, body: object) => {
    const target = { url: broker.url, audience: fixture.audience };
    return call(target, fixture.nodes.primary, "POST", `/v1/keks/${KEK}/${path}`, body);
  };

  it("wraps with each of them, opens again, and has recorded both before it answered", async () => {
    const plaintext = randomBytes(32).toString("base64");
    // On a busy machine a cloud's call may take longer than it is given.
    const wrapped = await vi.waitFor(
      async () => {
        const answer = await ask("wrap", { plaintext });
        expect([answer.status, answer.json["degraded"]], answer.text).toEqual([200, undefined]);
        return answer;
      },
      { timeout: 30_000, interval: 500 },
    );
    const opened = await ask("unwrap", { ciphertext: wrapped.json["ciphertext"] });
    expect(opened.json["plaintext"], opened.text).toBe(plaintext);
    const entries = readFileSync(sandbox.path("lambda.log"), "utf8")
      .split("\n")
      .filter((line) => line.startsWith('{"kind":'))
      .map((line) => JSON.parse(line) as { kind: string; members?: { name: string; result: string }[] })
      .slice(-4);
    expect(entries.map(({ kind }) => kind)).toEqual(["intent", "outcome", "intent", "outcome"]);
    expect(entries[1]?.members?.map(({ name }) => name).toSorted()).toEqual(["aws", "az", "gcp"]);
  });
});
