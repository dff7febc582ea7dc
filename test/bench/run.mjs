// `npm run bench [-- --quick] [-- --json] [-- --overhead]`: measures what docs/performance.md tells. Needs Linux and a built dist.
// Everything is measured in turns, round after round, and each figure is the median over the rounds: compare figures of
// one run with each other, hardly those of two. `--overhead` measures nothing but what a broker adds to each cloud.
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { rolldown } from "rolldown";
import { Pool } from "undici";

import { coldStart } from "./cold-start.mjs";
import { wrap } from "./fake-aws.mjs";
import { connect } from "./kms-client.mjs";
import { cpuMs, killAll, printed, PROGRAMS, residentMb, ROOT, start } from "./processes.mjs";
import { rawAws } from "./raw-clouds.mjs";
import { markdown } from "./report.mjs";
import { makeEnvelopes, makeStack, signedUnwrap, UNWRAP } from "./stack.mjs";
import { inTurns, load, overRounds } from "./statistics.mjs";

/** More envelopes than the shim's cache holds (8,192), so that one used again in turn is never in it; or than are used. */
const FULL = {
  rounds: 5,
  sliceMs: 500,
  pairMs: 1_500,
  loadMs: 10_000,
  settleMs: 3_000,
  starts: 5,
  envelopes: 10_000,
  cloudWarmUps: 3_000,
  cloudSliceMs: 2_000,
};
const QUICK = {
  rounds: 1,
  sliceMs: 150,
  pairMs: 400,
  loadMs: 1_500,
  settleMs: 1_000,
  starts: 1,
  envelopes: 4_000,
  cloudWarmUps: 1_000,
  cloudSliceMs: 1_000,
};
const FAKE_LATENCY_MS = 5;
const STREAMS = [1, 8, 64];

const options = new Set(process.argv.slice(2));
const settings = options.has("--quick") ? QUICK : FULL;
const { rounds, sliceMs, pairMs, loadMs, settleMs, starts, envelopes } = settings;
const say = (text) => process.stderr.write(`[bench] ${text}\n`);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const folder = mkdtempSync(join(tmpdir(), "kek-bench-"));
const began = performance.now();
try {
  const result = await bench();
  console.log(options.has("--json") ? JSON.stringify(result, null, 2) : markdown(result));
} finally {
  killAll();
  rmSync(folder, { recursive: true, force: true });
}

async function bench() {
  const machine = {
    node: process.version,
    cpu: `${cpus().length} × ${cpus()[0].model}`,
    loadBefore: loadavg()[0],
    fakeLatencyMs: FAKE_LATENCY_MS,
    rounds,
  };
  const fakeAws = await startOnPort(PROGRAMS.fakeAws(FAKE_LATENCY_MS), "fake-aws.log");
  const bare = await startOnPort(PROGRAMS.bare(), "bare.log");
  const seconds = () => (performance.now() - began) / 1000;
  if (options.has("--overhead")) {
    const clouds = await measureOverhead(fakeAws, bare);
    await Promise.all([fakeAws.stop(), bare.stop()]);
    return { machine, clouds, seconds: seconds() };
  }
  const stacks = {
    local: makeStack(folder, "local", fakeAws.url),
    aws: makeStack(folder, "aws", fakeAws.url),
  };

  say("cold starts");
  const cold = await coldStart(stacks, starts);
  say("resident memory: idle, then after load");
  const running = [await startStack(stacks.local), await startStack(stacks.aws)];
  const memory = await measureMemory(running);
  say(`latency and throughput: ${rounds} rounds and one to warm up`);
  const client = await makeClient(fakeAws, bare, running);
  const { calls, pairs } = await measureInRounds(client);
  client.close();
  const clouds = await measureOverhead(fakeAws, bare);
  // As asked, not killed: a profile is written at the end (`--cpu-prof`).
  await Promise.all(
    [fakeAws, bare, ...running.flatMap(({ shim, broker }) => [shim, broker])].map((program) =>
      program.stop(),
    ),
  );
  return { machine, calls, pairs, clouds, memory, cold, seconds: seconds() };
}

/** In a process of its own, before a broker of its own with three clouds: see overhead.mjs. */
async function measureOverhead(fakeAws, bare) {
  say(`what a broker adds to each cloud: ${rounds} rounds and one to warm up`);
  const bundle = await bundleFakes();
  const ca = join(folder, "azure-ca.pem");
  const fakes = start(PROGRAMS.fakeClouds(bundle, FAKE_LATENCY_MS, ca), join(folder, "fake-clouds.log"));
  const { places } = JSON.parse(await printed(fakes, /"places"/));
  const { cloudWarmUps, cloudSliceMs } = settings;
  const job = {
    folder,
    bare: bare.url,
    fakeAws: fakeAws.url,
    places,
    rounds,
    warmUps: cloudWarmUps,
    sliceMs: cloudSliceMs,
  };
  const overhead = start(PROGRAMS.overhead(job), join(folder, "overhead.log"), { NODE_EXTRA_CA_CERTS: ca });
  const [status] = await overhead.ended;
  await fakes.stop();
  const log = readFileSync(overhead.logFile, "utf8");
  if (status !== 0) throw new Error(log);
  return JSON.parse(log.trim().split("\n").at(-1));
}

/** Beside the packages, which the fakes import. */
async function bundleFakes() {
  const build = await rolldown({
    input: join(import.meta.dirname, "fake-clouds.mjs"),
    platform: "node",
    external: /^[^./]/,
  });
  const file = join(ROOT, "node_modules", ".kek-bench", "fake-clouds.mjs");
  await build.write({ file, format: "esm" });
  await build.close();
  return file;
}

async function startOnPort(args, log) {
  const program = start(args, join(folder, log));
  const { port } = JSON.parse(await printed(program, /"port"/));
  return { ...program, url: `http://127.0.0.1:${port}` };
}

async function startStack(stack) {
  const broker = await stack.startBroker();
  const shim = await stack.startShim(broker.url);
  const kms = connect(shim.socket);
  await untilOk(kms);
  return {
    provider: stack.provider,
    broker,
    shim,
    kms,
    nextEnvelope: await makeEnvelopes(stack.provider, envelopes),
  };
}

async function untilOk(kms) {
  for (;;) {
    const { healthz } = await kms.status();
    if (healthz === "ok") return;
    await pause(20);
  }
}

/** Both stacks at once, eight streams each, half of them misses. */
async function measureMemory(running) {
  await pause(settleMs);
  const read = () =>
    running.map(({ broker, shim }) => ({ shim: residentMb(shim.pid), broker: residentMb(broker.pid) }));
  const idle = read();
  await Promise.all(running.map(({ kms, nextEnvelope }) => load(mix(kms, nextEnvelope), 8, loadMs)));
  await pause(settleMs);
  const loaded = read();
  return running.map(({ provider }, index) => ({ provider, idle: idle[index], afterLoad: loaded[index] }));
}

function mix(kms, nextEnvelope) {
  const plaintext = new Uint8Array(32).fill(7);
  const turns = [
    () => kms.encrypt({ plaintext }),
    () => kms.decrypt({ ciphertext: nextEnvelope() }),
    () => kms.status(),
    () => kms.decrypt({ ciphertext: nextEnvelope() }),
  ];
  let turn = 0;
  return () => turns[turn++ % turns.length]();
}

async function makeClient(fakeAws, bare, [local, aws]) {
  const sdk = rawAws(fakeAws.url);
  const wrapped = new Uint8Array(wrap(new Uint8Array(32)));
  const pools = { bare: new Pool(bare.url), broker: new Pool(local.broker.url) };
  const encrypt =
    ({ kms }) =>
    () =>
      kms.encrypt({ plaintext: new Uint8Array(32).fill(7) });
  const decrypt =
    ({ kms, nextEnvelope }) =>
    () =>
      kms.decrypt({ ciphertext: nextEnvelope() });
  const { ciphertext: cached } = await local.kms.encrypt({ plaintext: new Uint8Array(32).fill(7) });
  return {
    operations: {
      Status: { stack: local, call: () => local.kms.status() },
      "Decrypt, cached": { stack: local, call: () => local.kms.decrypt({ ciphertext: cached }) },
      "Encrypt, local KEK": { stack: local, call: encrypt(local) },
      "Decrypt, not cached, local KEK": { stack: local, call: decrypt(local) },
      "Encrypt, AWS SDK": { stack: aws, call: encrypt(aws) },
      "Decrypt, not cached, AWS SDK": { stack: aws, call: decrypt(aws) },
    },
    miss: decrypt(aws),
    localMiss: decrypt(local),
    direct: () => sdk.unwrap(wrapped),
    /** Each a call for a request signed beforehand, to the broker or to the bare route. */
    posts: (pool, count) => {
      const requests = Array.from({ length: count }, () => signedUnwrap(local.nextEnvelope()));
      let next = 0;
      return async () => {
        const { body, headers } = requests[next++ % count];
        const answer = await pools[pool].request({ method: "POST", path: UNWRAP, headers, body });
        const { plaintext } = await answer.body.json();
        if (answer.statusCode !== 200 || plaintext === undefined) throw new Error(`${answer.statusCode}`);
      };
    },
    close: () => {
      for (const { kms } of [local, aws]) kms.close();
      for (const pool of Object.values(pools)) void pool.close();
      void sdk.close();
    },
  };
}

/** Processor time a call, of shim and broker, tells more than time on the clock where others use the machine too. */
async function measure({ stack: { shim, broker }, call }, streams) {
  const before = [cpuMs(shim.pid), cpuMs(broker.pid)];
  const measured = await load(call, streams, sliceMs);
  return {
    ...measured,
    shimCpu: (cpuMs(shim.pid) - before[0]) / measured.count,
    brokerCpu: (cpuMs(broker.pid) - before[1]) / measured.count,
  };
}

async function measureInRounds(client) {
  const calls = Object.keys(client.operations).flatMap((name) =>
    STREAMS.map((streams) => ({ name, streams, rounds: [] })),
  );
  const pairs = pairsOf(client).map((pair) => ({ ...pair, rounds: [] }));
  for (let round = 0; round <= rounds; round += 1) {
    for (const pair of pairs) {
      const { one, other } = await inTurns({ one: pair.one(), other: pair.other() }, pairMs);
      if (round > 0) {
        pair.rounds.push({
          first: one.p50,
          second: other.p50,
          difference: one.p50 - other.p50,
          count: one.count,
        });
      }
    }
    for (const series of calls) {
      const measured = await measure(client.operations[series.name], series.streams);
      if (round > 0) series.rounds.push(measured);
    }
  }
  return {
    calls: calls.map(({ name, streams, rounds: all }) => ({ name, streams, ...overRounds(all) })),
    pairs: pairs.map(({ first, second, goalMs, rounds: all }) => ({
      names: { first, second },
      ...(goalMs === undefined ? {} : { goalMs }),
      ...overRounds(all),
    })),
  };
}

function pairsOf(client) {
  return [
    {
      first: "Decrypt, not cached, AWS SDK, over socket and broker",
      second: "the same Decrypt by the SDK from the bench itself",
      goalMs: 1.5,
      one: () => client.miss,
      other: () => client.direct,
    },
    {
      first: "POST unwrap at the broker, local KEK",
      second: "the same POST at a bare route of the same HTTP stack",
      one: () => client.posts("broker", 2_000),
      other: () => client.posts("bare", 2_000),
    },
    {
      first: "Decrypt, not cached, local KEK, over socket and broker",
      second: "POST unwrap at the broker, local KEK",
      one: () => client.localMiss,
      other: () => client.posts("broker", 2_000),
    },
  ];
}
