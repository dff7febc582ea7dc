/** The value below which that share (0 to 1) of the samples lies. */
export function percentile(samples, share) {
  const sorted = Float64Array.from(samples).sort();
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))];
}

export function median(samples) {
  return percentile(samples, 0.5);
}

/** `streams` callers, each one call after the other, for so long. Milliseconds. */
export async function load(call, streams, ms) {
  const latencies = [];
  const began = performance.now();
  const caller = async () => {
    for (let now = performance.now(); now - began < ms; now = performance.now()) {
      await call();
      latencies.push(performance.now() - now);
    }
  };
  await Promise.all(Array.from({ length: streams }, caller));
  const seconds = (performance.now() - began) / 1000;
  return {
    p50: median(latencies),
    p99: percentile(latencies, 0.99),
    perSecond: latencies.length / seconds,
    count: latencies.length,
  };
}

/** Calls by name, in turns that begin with another one each time, so that whatever slows the machine slows all. Milliseconds. */
export async function inTurns(calls, ms) {
  const entries = Object.entries(calls).map(([name, call]) => ({ name, call, latencies: [] }));
  const began = performance.now();
  for (let turn = 0; performance.now() - began < ms; turn += 1) {
    for (let place = 0; place < entries.length; place += 1) {
      const { call, latencies } = entries[(turn + place) % entries.length];
      const asked = performance.now();
      await call();
      latencies.push(performance.now() - asked);
    }
  }
  const summary = (latencies) => ({
    p50: median(latencies),
    p99: percentile(latencies, 0.99),
    count: latencies.length,
  });
  return Object.fromEntries(entries.map(({ name, latencies }) => [name, summary(latencies)]));
}

/** The median of each number over the rounds; a single slow round moves none of them. */
export function overRounds(rounds) {
  const fields = Object.keys(rounds[0]);
  return Object.fromEntries(fields.map((field) => [field, median(rounds.map((round) => round[field]))]));
}
