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

/** Two calls in turns, each first every other time, so that whatever slows the machine slows both. Milliseconds. */
export async function sideBySide(first, second, ms) {
  const [one, other] = [[], []];
  const timed = async (call, into) => {
    const began = performance.now();
    await call();
    into.push(performance.now() - began);
  };
  const began = performance.now();
  for (let turn = 0; performance.now() - began < ms; turn += 1) {
    if (turn % 2 === 0) {
      await timed(first, one);
      await timed(second, other);
    } else {
      await timed(second, other);
      await timed(first, one);
    }
  }
  return { first: median(one), second: median(other), count: one.length };
}

/** The median of each number over the rounds; a single slow round moves none of them. */
export function overRounds(rounds) {
  const fields = Object.keys(rounds[0]);
  return Object.fromEntries(fields.map((field) => [field, median(rounds.map((round) => round[field]))]));
}
