const GOALS = { shimIdleMb: 75, overheadMs: 1 };

/** The figures as docs/performance.md shows them: as many of the tables as were measured. */
export function markdown({ machine, seconds, ...measured }) {
  const { node, cpu, loadBefore, fakeLatencyMs, rounds } = machine;
  const head = [
    `Node ${node}, ${cpu}, load average ${loadBefore.toFixed(1)} before the run, ${rounds} rounds, ${seconds.toFixed(0)} s.`,
    `The fake clouds answer after ${fakeLatencyMs} ms.`,
  ];
  const tables = Object.entries(TABLES).flatMap(([name, lines]) =>
    measured[name] === undefined ? [] : ["", ...lines(measured[name])],
  );
  return [...head, ...tables].join("\n");
}

const TABLES = {
  calls: (calls) =>
    table(
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
  pairs: (pairs) =>
    table(
      ["side by side, p50", "ms", "ms", "difference ms", "ratio", "goal"],
      pairs.map(({ names, first, second, difference, goalMs }) => [
        `${names.first}; ${names.second}`,
        first.toFixed(2),
        second.toFixed(2),
        difference.toFixed(2),
        (first / second).toFixed(2),
        goalMs === undefined ? "" : goalOf(difference, goalMs, " ms"),
      ]),
    ),
  clouds: (clouds) =>
    table(
      [
        "in turns, ms",
        "SDK p50",
        "p99",
        "broker p50",
        "p99",
        "overhead p50",
        "bare route p50",
        "CPU",
        "goal",
      ],
      clouds.map(({ cloud, operation, raw, rawP99, broker, brokerP99, difference, bare, cpu }) => [
        `${cloud} ${operation}`,
        ...[raw, rawP99, broker, brokerP99, difference, bare, cpu].map((ms) => ms.toFixed(2)),
        goalOf(difference, GOALS.overheadMs, " ms"),
      ]),
    ),
  memory: (memory) =>
    table(
      ["resident memory, MB", "idle", "after load", "goal when idle"],
      memory.flatMap(({ provider, idle, afterLoad }) => [
        [
          `shim, before the ${provider} broker`,
          idle.shim.toFixed(1),
          afterLoad.shim.toFixed(1),
          goalOf(idle.shim, GOALS.shimIdleMb),
        ],
        [`broker, ${provider} KEK`, idle.broker.toFixed(1), afterLoad.broker.toFixed(1), ""],
      ]),
    ),
  cold: (cold) =>
    table(
      ["cold start", "ms"],
      Object.entries(COLD_STARTS).map(([name, label]) => [label, cold[name].toFixed(0)]),
    ),
};

const COLD_STARTS = {
  emptyNode: "`node -e ''`, from exec to exit, to compare with",
  shimSocket: "shim, from exec to its socket",
  shimOk: "shim, from exec to the first Status that is ok, with a broker up",
  brokerListening: "broker, from exec to its `listening` line",
  brokerLive: "broker, from exec to the first 200 of /livez",
  localFirstUnwrap: "first unwrap of a broker just started, local KEK",
  awsFirstUnwrap: "first unwrap of a broker just started, AWS SDK, which is loaded then",
};

function goalOf(measured, goal, unit = "") {
  return `≤ ${goal}${unit}, ${measured <= goal ? "met" : "missed"}`;
}

function table(head, rows) {
  return [head, head.map(() => "---"), ...rows].map((cells) => `| ${cells.join(" | ")} |`);
}
