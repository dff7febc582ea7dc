const GOALS = { shimIdleMb: 75 };

/** The figures as docs/performance.md shows them. */
export function markdown({ machine, calls, pairs, memory, cold, seconds }) {
  const { node, cpu, loadBefore, fakeLatencyMs, rounds } = machine;
  return [
    `Node ${node}, ${cpu}, load average ${loadBefore.toFixed(1)} before the run, ${rounds} rounds, ${seconds.toFixed(0)} s.`,
    `The fake AWS endpoint answers after ${fakeLatencyMs} ms.`,
    "",
    ...table(
      ["call over the socket", "streams", "p50 ms", "p99 ms", "a second", "shim CPU ms", "broker CPU ms"],
      calls.map(({ name, streams, p50, p99, perSecond, shimCpu, brokerCpu }) => [
        name,
        streams,
        p50.toFixed(2),
        p99.toFixed(2),
        perSecond.toFixed(0),
        shimCpu.toFixed(2),
        brokerCpu.toFixed(2),
      ]),
    ),
    "",
    ...table(
      ["side by side, p50", "ms", "ms", "difference ms", "ratio", "goal"],
      pairs.map(({ names, first, second, difference, goalMs }) => [
        `${names.first}; ${names.second}`,
        first.toFixed(2),
        second.toFixed(2),
        difference.toFixed(2),
        (first / second).toFixed(2),
        goalMs === undefined ? "" : `≤ ${goalMs} ms, ${difference <= goalMs ? "met" : "missed"}`,
      ]),
    ),
    "",
    ...table(
      ["resident memory, MB", "idle", "after load", "goal when idle"],
      memory.flatMap(({ provider, idle, afterLoad }) => [
        [
          `shim, before the ${provider} broker`,
          idle.shim.toFixed(1),
          afterLoad.shim.toFixed(1),
          goalOf(idle.shim),
        ],
        [`broker, ${provider} KEK`, idle.broker.toFixed(1), afterLoad.broker.toFixed(1), ""],
      ]),
    ),
    "",
    ...table(
      ["cold start", "ms"],
      Object.entries(LABELS).map(([name, label]) => [label, cold[name].toFixed(0)]),
    ),
  ].join("\n");
}

const LABELS = {
  emptyNode: "`node -e ''`, from exec to exit, to compare with",
  shimSocket: "shim, from exec to its socket",
  shimOk: "shim, from exec to the first Status that is ok, with a broker up",
  brokerListening: "broker, from exec to its `listening` line",
  brokerLive: "broker, from exec to the first 200 of /livez",
  localFirstUnwrap: "first unwrap of a broker just started, local KEK",
  awsFirstUnwrap: "first unwrap of a broker just started, AWS SDK, which is loaded then",
};

function goalOf(mb) {
  return `≤ ${GOALS.shimIdleMb}, ${mb <= GOALS.shimIdleMb ? "met" : "missed"}`;
}

function table(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}
