import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import * as z from "zod";

import { MAX_KUBERNETES_CIPHERTEXT_BYTES } from "../../src/wire/limits.ts";
import { KekStatus, WrapResponse } from "../../src/wire/messages.ts";
import { CLOUD_KINDS, createFakeCloud, type CloudKind } from "./fake-cloud.ts";
import { call, configInput, KEK, makeHarness, stateOf, STATUS, unwrap, wrap } from "./fixture.ts";
import { subsetsOf } from "./multi-member.ts";

const RECORDED = { aws: "awsKms", gcp: "gcpKms", az: "rsa2048", az3072: "rsa3072", az4096: "rsa4096" };
const { services } = z
  .object({ services: z.record(z.string(), z.object({ bytes: z.int() })) })
  .parse(JSON.parse(readFileSync(new URL("../vectors/wrap-lengths.json", import.meta.url), "utf8")));

test.each(Object.entries(RECORDED))("the fake of %s wraps as long as was recorded of %s", (kind, service) => {
  expect(CLOUD_KINDS[kind as CloudKind].wrapBytes).toBe(services[service]?.bytes);
});

/** A broker whose every name has 12 characters, as the KEK's has. */
function brokerOf(kinds: readonly CloudKind[], epoch: number) {
  expect(KEK).toHaveLength(12);
  const names = kinds.map((_, index) => `twelve-cha-${index}`);
  const base = configInput();
  const dev = base.keks?.[KEK]?.members["dev"];
  const cluster = base.clusters?.["prod-eu-1"];
  if (dev === undefined || cluster === undefined) throw new Error("no fixture");
  const members = Object.fromEntries(names.map((name) => [name, dev]));
  const config = configInput({
    keks: { [KEK]: { epoch, members } },
    clusters: { "prod-eu-1": { ...cluster, id: "twelve-chars" } },
  });
  const views = new Map(kinds.map((kind, index) => [names[index] ?? "", createFakeCloud(kind).from()]));
  const providers = new Map([...views].map(([name, { provider }]) => [name, provider]));
  const harness = makeHarness();
  harness.state = stateOf(config, new Map([[KEK, providers]]));
  return { harness, names, view: (name: string) => views.get(name) };
}

const DEK = Buffer.alloc(32, 7).toString("base64");

async function measured(kinds: readonly CloudKind[], epoch: number) {
  const broker = brokerOf(kinds, epoch);
  const status = KekStatus.parse((await call(broker.harness, "GET", STATUS)).json);
  const { ciphertext } = WrapResponse.parse((await wrap(broker.harness, undefined, DEK)).json);
  expect((await unwrap(broker.harness, ciphertext)).json["plaintext"]).toBe(DEK);
  return { ...broker, bytes: Buffer.from(ciphertext, "base64").length, bound: status.maxCiphertext };
}

const SHAPES: readonly (readonly [kinds: readonly CloudKind[], bytes: number, budget: number])[] = [
  [["aws"], 360, 360],
  [["gcp"], 289, 360],
  [["hsm"], 272, 360],
  [["az"], 450, 800],
  [["aws", "gcp"], 493, 800],
  [["aws", "az"], 654, 800],
  [["gcp", "az"], 583, 800],
  [["aws", "gcp", "hsm"], 609, 800],
  [["aws", "gcp", "az"], 787, 800],
  [["aws", "gcp", "az3072"], 915, 930],
];

describe("an envelope of 32 bytes and names of 12 characters", () => {
  test.each(SHAPES)("of %j takes %i of %i bytes, as status says", async (kinds, bytes, budget) => {
    const { bytes: real, bound } = await measured(kinds, 99_999);
    expect([real, bound]).toEqual([bytes, bytes]);
    expect(bytes).toBeLessThanOrEqual(budget);
    expect(bytes).toBeLessThanOrEqual(MAX_KUBERNETES_CIPHERTEXT_BYTES);
  });

  test("of AWS, Google and RSA-4096 passes what kube-apiserver stores, and status says so", async () => {
    const { bytes, bound } = await measured(["aws", "gcp", "az4096"], 99_999);
    expect([bytes, bound]).toEqual([1_043, 1_043]);
    expect(bound).toBeGreaterThan(MAX_KUBERNETES_CIPHERTEXT_BYTES);
  });

  test.each([0, 9, 10, 1_000_000])("never takes more than status says, in epoch %i", async (epoch) => {
    for (const kinds of subsetsOf(["aws", "gcp", "az"] as const).filter(({ length }) => length > 0)) {
      const { bytes, bound } = await measured(kinds, epoch);
      expect(bytes).toBe(bound);
    }
  });

  test("takes less while a member is away, or its version unknown; status names the most", async () => {
    const broker = brokerOf(["aws", "gcp", "az"], 0);
    for (const name of broker.names) {
      const view = broker.view(name);
      for (const one of ["wrap", "unwrap", "version"] as const) {
        view?.faults.set(one, { code: "Unavailable", after: false });
      }
      const answer = WrapResponse.parse((await wrap(broker.harness, undefined, DEK)).json);
      const status = KekStatus.parse((await call(broker.harness, "GET", STATUS)).json);
      expect(answer.degraded).toEqual([name]);
      expect(Buffer.from(answer.ciphertext, "base64").length).toBeLessThan(status.maxCiphertext);
      expect(status.maxCiphertext).toBe((await measured(["aws", "gcp", "az"], 0)).bytes);
      view?.faults.clear();
    }
  });
});
