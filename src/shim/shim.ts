import { readCa } from "./ca.ts";
import { DekCache } from "./cache.ts";
import { BrokerClient } from "./client.ts";
import { systemClock } from "./clock.ts";
import type { Clock } from "./clock.ts";
import { socketPathOf } from "./config.ts";
import type { ShimConfig } from "./config.ts";
import { DirectMode } from "./direct.ts";
import { StartError } from "./errors.ts";
import { Health } from "./health.ts";
import { HttpEndpoint } from "./http.ts";
import { createIdentity } from "./identity/create.ts";
import { KeyIdTracker } from "./key-id.ts";
import { createLog } from "./log.ts";
import type { Log } from "./log.ts";
import { ShimMetrics } from "./metrics.ts";
import { KmsServer } from "./server.ts";
import { SocketListener } from "./socket.ts";
import type { SocketSettings } from "./socket.ts";
import { Standing } from "./standing.ts";
import { StatusPoller } from "./status-poller.ts";
import { Transport } from "./transport.ts";

/** How long a stopping shim lets calls end: kube-apiserver waits 3 s for one. */
const DRAIN_MS = 3_500;

export interface ShimDependencies {
  /** Takes log lines, one JSON object each, without a line break. */
  readonly print: (line: string) => void;
  readonly clock?: Clock;
  /** 0 to 1, for jitter. */
  readonly random?: () => number;
}

export interface RunningShim {
  readonly socketPath: string;
  /** Where /livez, /readyz and /metrics answer, `http://127.0.0.1:PORT`, if the configuration asks for it. */
  readonly httpUrl: string | undefined;
  /** What Status answers as healthz: `ok`, or what is wrong. */
  healthz(): string;
  /** Resolves once Status has answered `ok` for the first time; never, if it never does. */
  readonly ready: Promise<void>;
  /** Resolves once the shim has stopped: with the reason if it stopped by itself. */
  readonly stopped: Promise<StartError | undefined>;
  /** Takes the socket away, lets calls in flight end within 3.5 s, and zeroes what it held. */
  close(): Promise<void>;
}

/**
 * Starts a shim. Resolves as soon as its socket answers, whether or not a broker does yet.
 * @throws StartError
 */
export async function startShim(config: ShimConfig, dependencies: ShimDependencies): Promise<RunningShim> {
  const clock = dependencies.clock ?? systemClock;
  const random = dependencies.random ?? Math.random;
  const log = createLog(dependencies.print, () => clock.wall());
  const stopping = new AbortController();

  const cache = new DekCache();
  const metrics = new ShimMetrics(() => cache.size);
  const identity = createIdentity(config, log);
  const transport = new Transport(readCa(config.ca));
  const { kek, brokers, statusVersion } = config;
  const client = new BrokerClient({ kek, brokers, identity, transport, clock, random, log, metrics });
  const ready = deferred();
  const standing = new Standing({
    tracker: new KeyIdTracker(),
    health: new Health(),
    clock,
    log,
    metrics,
    onRevoked: () => {
      cache.clear();
      poller.wake();
    },
    onHealthy: ready.resolve,
  });
  const poller = new StatusPoller({ client, standing, clock, random });
  const service = new DirectMode({
    client,
    cache,
    standing,
    clock,
    statusVersion,
    metrics,
    stopping: stopping.signal,
  });
  const server = new KmsServer({ service, log, metrics });
  const healthz = () => standing.now.healthz;

  const socket = await SocketListener.open(socketSettingsOf(config), (connection) => {
    server.accept(connection);
  });
  const http = await openHttp(config.http, healthz, metrics, socket);
  logStart(log, config, http?.url);

  const stop = once(async () => {
    log("info", "stopping");
    await socket.close();
    await server.drain(DRAIN_MS);
    stopping.abort();
    await Promise.all([http?.close(), transport.close()]);
    cache.clear();
    log("info", "stopped");
  });
  const stopped = poller.run(stopping.signal).then(
    async () => {
      await stop();
      return undefined;
    },
    async (error: unknown) => {
      await stop();
      if (error instanceof StartError) return error;
      throw error;
    },
  );
  return { socketPath: socket.path, httpUrl: http?.url, healthz, ready: ready.promise, stopped, close: stop };
}

async function openHttp(
  address: string | undefined,
  healthz: () => string,
  metrics: ShimMetrics,
  socket: SocketListener,
): Promise<HttpEndpoint | undefined> {
  if (address === undefined) return undefined;
  try {
    return await HttpEndpoint.open({ address, healthz, metrics });
  } catch (error) {
    await socket.close();
    throw error;
  }
}

function socketSettingsOf({ listen, socket }: ShimConfig): SocketSettings {
  const [uid, gid] = socket.owner?.split(":").map(Number) ?? [];
  return {
    path: socketPathOf(listen),
    mode: Number.parseInt(socket.mode, 8),
    ...(uid === undefined || gid === undefined ? {} : { owner: { uid, gid } }),
  };
}

function logStart(log: Log, config: ShimConfig, http: string | undefined): void {
  const { kek, cluster, node, mode } = config;
  log("info", "started", {
    kek,
    cluster,
    ...(node === undefined ? {} : { node }),
    mode,
    socket: socketPathOf(config.listen),
    ...(http === undefined ? {} : { http }),
  });
}

function once(act: () => Promise<void>): () => Promise<void> {
  let acting: Promise<void> | undefined;
  return () => (acting ??= act());
}

function deferred(): { readonly promise: Promise<void>; readonly resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
