import { randomBytes } from "node:crypto";
import { linkSync, lstatSync, renameSync, rmSync } from "node:fs";
import { chmod, chown, lstat, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import type { Server, Socket } from "node:net";
import { basename, dirname, join } from "node:path";

import { MAX_SOCKET_PATH_BYTES } from "./config.ts";
import { StartError, systemCodeOf } from "./errors.ts";

export interface SocketSettings {
  /** Absolute. */
  readonly path: string;
  /** As `chmod` takes it. */
  readonly mode: number;
  readonly owner?: { readonly uid: number; readonly gid: number };
}

const CONNECT_TIMEOUT_MS = 1_000;
const SHORTEST_HIDDEN_NAME = 6;

/**
 * A unix socket that appears under its name complete: bound under a hidden name beside it, given its owner and rights
 * there, and only then given its name. So nobody ever sees it with wider rights, of several that start at once one gets
 * the name, and Node, which on closing removes the name it bound, removes nobody else's.
 */
export class SocketListener {
  readonly path: string;
  readonly #server: Server;
  readonly #inode: bigint;

  private constructor(path: string, server: Server, inode: bigint) {
    this.path = path;
    this.#server = server;
    this.#inode = inode;
  }

  /** @throws StartError `SocketInUse`, `SocketUnusable` */
  static async open(settings: SocketSettings, accept: (connection: Socket) => void): Promise<SocketListener> {
    const { path } = settings;
    const stale = await requireFree(path);
    const hidden = hiddenNameOf(path);
    const server = createServer({ allowHalfOpen: false }, accept);
    try {
      await bind(server, hidden);
      if (settings.owner !== undefined) await chown(hidden, settings.owner.uid, settings.owner.gid);
      await chmod(hidden, settings.mode);
      const { ino } = await lstat(hidden, { bigint: true });
      claim(hidden, path, ino, stale);
      return new SocketListener(path, server, ino);
    } catch (error) {
      server.close();
      await rm(hidden, { force: true }).catch(() => undefined);
      throw unusable(path, error);
    }
  }

  /** Accepts no more, and takes the name away unless somebody else has it by now. Connections go on. */
  async close(): Promise<void> {
    this.#server.close();
    try {
      const { ino } = await lstat(this.path, { bigint: true });
      if (ino === this.#inode) await rm(this.path, { force: true });
    } catch {
      // Gone already, or its folder is.
    }
  }
}

/**
 * Gives our socket its name unless another start was quicker: a link, unlike a renaming, takes nobody's place.
 * @param stale the inode that may be replaced
 */
function claim(hidden: string, path: string, ours: bigint, stale: bigint | undefined): void {
  if (stale !== undefined && inodeOf(path) === stale) rmSync(path, { force: true });
  try {
    linkSync(hidden, path);
    rmSync(hidden, { force: true });
  } catch (error) {
    if (systemCodeOf(error) === "EEXIST") throw inUse(path);
    renameSync(hidden, path); // a file system without hard links, or without those of sockets
  }
  if (inodeOf(path) !== ours) throw inUse(path);
}

function inodeOf(path: string): bigint | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false })?.ino;
}

/**
 * A stale socket may be replaced; a live one, or what is no socket, may not.
 * @returns the stale one's inode
 */
async function requireFree(path: string): Promise<bigint | undefined> {
  let stats;
  try {
    stats = await lstat(path, { bigint: true });
  } catch (error) {
    if (systemCodeOf(error) !== "ENOENT") throw unusable(path, error);
    await requireFolder(path); // a bind that fails for it says EACCES
    return undefined;
  }
  if (!stats.isSocket()) {
    throw new StartError(
      "SocketUnusable",
      `${path} exists and is not a socket: move it away, or listen elsewhere`,
    );
  }
  const outcome = await tryToConnect(path);
  if (outcome === "ECONNREFUSED" || outcome === "ENOENT") return stats.ino;
  if (outcome === "connected" || outcome === "EAGAIN") {
    throw inUse(path);
  }
  throw new StartError("SocketUnusable", `${path} exists and cannot be tried (${outcome})`);
}

function inUse(path: string): StartError {
  return new StartError(
    "SocketInUse",
    `${path} is in use: another shim, or another plugin, answers there. Stop it first`,
  );
}

async function requireFolder(path: string): Promise<void> {
  try {
    await lstat(dirname(path));
  } catch (error) {
    throw unusable(path, error);
  }
}

function tryToConnect(path: string): Promise<string> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    const settle = (outcome: string): void => {
      socket.destroy();
      resolve(outcome);
    };
    // A full backlog keeps a caller waiting: somebody is there.
    socket.setTimeout(CONNECT_TIMEOUT_MS, () => settle("connected"));
    socket.once("connect", () => settle("connected"));
    socket.once("error", (error) => settle(systemCodeOf(error)));
  });
}

/** As long as the name itself, so that it fits wherever that fits. */
function hiddenNameOf(path: string): string {
  const length = Math.max(basename(path).length, SHORTEST_HIDDEN_NAME);
  const name = `.${randomBytes(length).toString("hex")}`.slice(0, length);
  const hidden = join(dirname(path), name);
  if (Buffer.byteLength(hidden) <= MAX_SOCKET_PATH_BYTES) return hidden;
  throw new StartError("SocketUnusable", `${path} is too long for a socket: choose a shorter folder`);
}

/** Node creates the file before `listen` returns, so the umask of the process is narrowed for no longer than that. */
function bind(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    const umask = process.umask(0o177);
    try {
      server.listen(path, () => {
        server.off("error", reject);
        server.on("error", () => undefined); // a failed accept is the caller's to repeat
        resolve();
      });
    } finally {
      process.umask(umask);
    }
  });
}

function unusable(path: string, error: unknown): StartError {
  if (error instanceof StartError) return error;
  const code = systemCodeOf(error);
  const advice =
    code === "ENOENT"
      ? `the folder ${dirname(path)} does not exist: make it, readable by its owner alone`
      : `it cannot be made (${code})`;
  return new StartError("SocketUnusable", `${path}: ${advice}`, { cause: error });
}
