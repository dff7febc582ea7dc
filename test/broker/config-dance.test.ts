import * as fc from "fast-check";
import { expect, test } from "vitest";

import { compareConfigs } from "../../src/config/compare.ts";
import { BrokerConfig, type BrokerConfigInput } from "../../src/config/schema.ts";
import { KekStatus } from "../../src/wire/messages.ts";
import { CLOUD_CALLS, createFakeCloud, type CloudView, type FakeCloud } from "./fake-cloud.ts";
import { call, configInput, KEK, makeHarness, PLAINTEXT, stateOf, STATUS, unwrap, wrap } from "./fixture.ts";
import type { Harness } from "./fixture.ts";

/** Every member there could be, as the configuration names its key: symmetric ones, and one of RSA. */
const KEYS = {
  aws: {
    awsKms: { keyArn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab" },
  },
  gcp: { gcpKms: { cryptoKey: "projects/p/locations/global/keyRings/r/cryptoKeys/k" } },
  az: { azureKeyVault: { keyUrl: "https://some-vault.vault.azure.net/keys/some-key" } },
} as const;
type Name = keyof typeof KEYS;
const NAMES = ["aws", "gcp", "az"] as const;

interface Plan {
  readonly uses: Readonly<Record<Name, "both" | "unwrap" | "absent">>;
  readonly order: readonly Name[];
  readonly epoch: number;
  readonly allowRsaOnly: boolean;
  readonly wrapQuorum: number | undefined;
}

/** The first configuration, and what somebody tries to make of it, wise or not. */
interface Attempt {
  readonly uses: Partial<Plan["uses"]>;
  readonly order: readonly Name[];
  readonly epochs: number;
  readonly allowRsaOnly: boolean | undefined;
  readonly wrapQuorum: number | undefined;
}

const FIRST: Plan = {
  uses: { aws: "absent", gcp: "absent", az: "absent" },
  order: NAMES,
  epoch: 0,
  allowRsaOnly: false,
  wrapQuorum: undefined,
};
const use = fc.constantFrom("both", "unwrap", "absent");
const attempt: fc.Arbitrary<Attempt> = fc.record({
  uses: fc.oneof(
    fc.record({ aws: use }),
    fc.record({ gcp: use }),
    fc.record({ az: use }),
    fc.record({ aws: use, gcp: use, az: use }),
  ),
  order: fc.shuffledSubarray([...NAMES], { minLength: 3 }),
  epochs: fc.constantFrom(1, 1, 1, 2, 0, 0, -1),
  allowRsaOnly: fc.constantFrom(undefined, undefined, true, false),
  wrapQuorum: fc.constantFrom(undefined, undefined, 1, 2),
});

function planOf({ uses, order, epochs, allowRsaOnly, wrapQuorum }: Attempt, old: Plan): Plan {
  return {
    uses: { ...old.uses, ...uses },
    order,
    epoch: old.epoch + epochs,
    allowRsaOnly: allowRsaOnly ?? old.allowRsaOnly,
    wrapQuorum,
  };
}

function inputOf({ uses, order, epoch, allowRsaOnly, wrapQuorum }: Plan): BrokerConfigInput {
  const members = order.flatMap((name) => {
    const each = uses[name];
    return each === "absent" ? [] : [[name, { ...KEYS[name], use: each }] as const];
  });
  const quorum = wrapQuorum === undefined ? {} : { wrapQuorum };
  return configInput({
    keks: { [KEK]: { members: Object.fromEntries(members), epoch, allowRsaOnly, ...quorum } },
  });
}

/** What `kekctl config check OLD NEW` says: nothing is wrong with either, nor with going from one to the other. */
function isAccepted(old: BrokerConfigInput | undefined, next: BrokerConfigInput): boolean {
  const parsed = BrokerConfig.safeParse(next);
  if (!parsed.success) return false;
  return old === undefined || compareConfigs(BrokerConfig.parse(old), parsed.data).length === 0;
}

type Clouds = Readonly<Record<Name, FakeCloud>>;

interface Broker {
  readonly harness: Harness;
  readonly views: ReadonlyMap<Name, CloudView>;
}

function brokerWith(config: BrokerConfigInput, clouds: Clouds): Broker {
  const views = new Map(NAMES.map((name) => [name, clouds[name].from()]));
  const providers = new Map([...views].map(([name, { provider }]) => [name as string, provider]));
  const harness = makeHarness();
  harness.state = stateOf(config, new Map([[KEK, providers]]));
  return { harness, views };
}

async function requireOpens(
  { harness }: Broker,
  envelopes: readonly unknown[],
  tells: string,
): Promise<void> {
  for (const envelope of envelopes) {
    const { status, json, text } = await unwrap(harness, envelope);
    expect([status, json["plaintext"]], `${tells}: ${text}`).toEqual([200, PLAINTEXT]);
  }
}

/** One envelope with all members there, and one without each of them, as far as the rest will do. */
async function sealAt({ harness, views }: Broker): Promise<unknown[]> {
  const envelopes: unknown[] = [];
  for (const away of [undefined, ...NAMES]) {
    const view = away && views.get(away);
    for (const one of CLOUD_CALLS) view?.faults.set(one, { code: "Unavailable", after: false });
    const { status, json } = await wrap(harness);
    if (status === 200) envelopes.push(json["ciphertext"]);
    view?.faults.clear();
  }
  return envelopes;
}

/** What the messages of `config check` and the documentation ask of the operator before such a step. */
function needsResealing(old: Plan, next: Plan): boolean {
  const removed = NAMES.some((name) => old.uses[name] !== "absent" && next.uses[name] === "absent");
  return removed || (old.allowRsaOnly && !next.allowRsaOnly);
}

const keyIdAt = async ({ harness }: Broker): Promise<string | null> =>
  KekStatus.parse((await call(harness, "GET", STATUS)).json).keyId;

test("in any sequence of configurations that are accepted step by step, all that was sealed opens at old and new brokers", async () => {
  const counts = { steps: 0, refused: 0, envelopes: 0 };
  await fc.assert(
    fc.asyncProperty(fc.array(attempt, { minLength: 1, maxLength: 30, size: "max" }), async (attempts) => {
      const clouds = { aws: createFakeCloud("aws"), gcp: createFakeCloud("gcp"), az: createFakeCloud("az") };
      let running: Plan | undefined;
      let envelopes: unknown[] = [];
      for (const each of attempts) {
        const next = planOf(each, running ?? FIRST);
        const config = inputOf(next);
        if (!isAccepted(running && inputOf(running), config)) {
          counts.refused += 1;
          continue;
        }
        const old = running ?? next;
        const tells = JSON.stringify({ old, next });
        const before = brokerWith(inputOf(old), clouds);
        const after = brokerWith(config, clouds);
        if (needsResealing(old, next)) {
          await requireOpens(before, envelopes, tells);
          envelopes = await sealAt(before);
        }
        // The oldest and the newest: the rest tells nothing new.
        envelopes = [...envelopes.slice(0, 4), ...envelopes.slice(4).slice(-8)];
        envelopes.push(...(await sealAt(before)), ...(await sealAt(after)));
        await requireOpens(before, envelopes, tells);
        await requireOpens(after, envelopes, tells);
        const wraps = ({ uses }: Plan): readonly Name[] => NAMES.filter((name) => uses[name] === "both");
        const same = old.epoch === next.epoch && wraps(old).join() === wraps(next).join();
        expect((await keyIdAt(before)) === (await keyIdAt(after)), tells).toBe(same);
        counts.steps += 1;
        counts.envelopes += envelopes.length;
        running = next;
      }
    }),
    { seed: 5, numRuns: 15 },
  );
  // The property must not hold for want of steps.
  expect(counts.steps).toBeGreaterThan(30);
}, 120_000);
