// What a broker adds to its cloud: the caller's POST to it, and the same calls by the cloud's SDK from the caller, in
// turns. A process of its own, since Node reads NODE_EXTRA_CA_CERTS at its start alone. `node … JSON`; its last line is
// JSON too.
import { setTimeout as sleep } from "node:timers/promises";
import { Pool } from "undici";

import { cpuMs, killAll } from "./processes.mjs";
import { rawAws, rawAzure, rawGoogle } from "./raw-clouds.mjs";
import { signedPost, startCloudsBroker, UNWRAP } from "./stack.mjs";
import { inTurns, overRounds } from "./statistics.mjs";

const { folder, bare, fakeAws, places, warmUps, rounds, sliceMs } = JSON.parse(process.argv[2]);
/** Signed this many at a time, outside of what is measured; an assertion lives for a minute. */
const SIGNED = 200;
const plaintext = Buffer.alloc(32, 7);

process.once("exit", killAll);
const broker = await startCloudsBroker(folder, fakeAws, places);
const raw = {
  aws: rawAws(fakeAws),
  google: rawGoogle(places.google),
  azure: await rawAzure(places.azure),
};
const pools = { broker: new Pool(broker.url), bare: new Pool(bare) };

async function post(pool, { path, body, headers }) {
  const { statusCode, body: answer } = await pools[pool].request({ method: "POST", path, headers, body });
  const content = await answer.json();
  if (statusCode !== 200) throw new Error(`${path}: ${JSON.stringify(content)}`);
  return content;
}

/** Calls of one cloud and one operation; each may be made without end. */
async function callsOf(cloud, operation) {
  const path = (name) => `/v1/keks/${cloud}/${name}`;
  const request = { plaintext: plaintext.toString("base64") };
  const { ciphertext } = await post("broker", signedPost(path("wrap"), request));
  const wrapped = await raw[cloud].wrap(plaintext);
  const content = operation === "wrap" ? request : { ciphertext };
  const signed = (target, fields) => {
    let ready = [];
    return {
      refill: () => {
        ready = Array.from({ length: SIGNED }, () => signedPost(target, fields));
      },
      next: () => ready.pop() ?? signedPost(target, fields),
    };
  };
  const [asked, floor] = [signed(path(operation), content), signed(UNWRAP, { ciphertext })];
  return {
    refill: () => {
      asked.refill();
      floor.refill();
    },
    calls: {
      broker: () => post("broker", asked.next()),
      // Each wrap is opened again before it counts, so a wrap is two calls.
      raw: async () => raw[cloud].unwrap(operation === "wrap" ? await raw[cloud].wrap(plaintext) : wrapped),
      bare: () => post("bare", floor.next()),
    },
  };
}

async function warmUp({ calls }) {
  for (const call of Object.values(calls)) {
    let left = warmUps;
    const caller = async () => {
      while (left-- > 0) await call();
    };
    await Promise.all(Array.from({ length: 8 }, caller));
  }
  await sleep(500);
}

const series = [];
for (const cloud of Object.keys(raw)) {
  for (const operation of ["unwrap", "wrap"]) {
    const target = await callsOf(cloud, operation);
    await warmUp(target);
    series.push({ cloud, operation, ...target, measured: [] });
  }
}
for (let round = 0; round <= rounds; round += 1) {
  for (const { refill, calls, measured } of series) {
    refill();
    const before = cpuMs(broker.pid);
    const { broker: asked, raw: direct, bare: hop } = await inTurns(calls, sliceMs);
    const cpu = (cpuMs(broker.pid) - before) / asked.count;
    // The first only warms what has rested.
    if (round > 0) {
      measured.push({
        raw: direct.p50,
        rawP99: direct.p99,
        broker: asked.p50,
        brokerP99: asked.p99,
        difference: asked.p50 - direct.p50,
        bare: hop.p50,
        cpu,
        count: asked.count,
      });
    }
  }
}
for (const client of [...Object.values(raw), ...Object.values(pools)]) await client.close();
await broker.stop();
console.log(
  JSON.stringify(
    series.map(({ cloud, operation, measured }) => ({ cloud, operation, ...overRounds(measured) })),
  ),
);
