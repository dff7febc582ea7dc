import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { connect, createServer } from "node:net";
import type { Server } from "node:net";
import { join } from "node:path";

import { describe, expect, onTestFinished, test, vi } from "vitest";

import { SocketListener } from "../../src/shim/socket.ts";
import { makeFolder } from "./kit.ts";

/** For a busy machine; nothing here waits so long. */
vi.setConfig({ testTimeout: 30_000 });

const accept = () => undefined;

async function listenAt(path: string): Promise<Server> {
  const server = createServer();
  server.listen(path);
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return server;
}

/** What a process leaves that was killed: a socket nobody listens on. */
async function makeStaleSocket(folder: string, path: string): Promise<void> {
  const { execFileSync } = await import("node:child_process");
  const script = `require("node:net").createServer().listen(${JSON.stringify(path)}, () => process.kill(process.pid, "SIGKILL"))`;
  try {
    execFileSync(process.execPath, ["-e", script], { cwd: folder });
  } catch {
    // killed, as asked
  }
  expect(lstatSync(path).isSocket()).toBe(true);
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ path });
    socket.once("connect", () => {
      socket.destroy();
      resolve(true);
    });
    socket.once("error", () => resolve(false));
  });
}

const modeOf = (path: string) => lstatSync(path).mode & 0o777;

/** Rights do not bind root, so root is somebody else meanwhile. */
async function asNobody(act: () => Promise<void>): Promise<void> {
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) process.seteuid?.(65_534);
  try {
    await act();
  } finally {
    if (isRoot) process.seteuid?.(0);
  }
}

describe("the socket", () => {
  test.each([0o600, 0o660])("has the rights asked for, %o, and leaves nothing else behind", async (mode) => {
    const folder = makeFolder();
    const path = join(folder, "kms.sock");
    const umask = process.umask();
    const listener = await SocketListener.open({ path, mode }, accept);
    expect(modeOf(path)).toBe(mode);
    expect(await answers(path)).toBe(true);
    expect(readdirSync(folder)).toEqual(["kms.sock"]);
    expect(process.umask()).toBe(umask);
    await listener.close();
    expect(readdirSync(folder)).toEqual([]);
  });

  test("is never seen wider than 0600, not even at the moment it is made, whatever the umask", async () => {
    const folder = makeFolder();
    const made: number[] = [];
    const setUmask = process.umask.bind(process);
    const before = setUmask(0);
    // The umask is put back right after the socket was made.
    const spy = vi.spyOn(process, "umask").mockImplementation((mask) => {
      for (const name of readdirSync(folder)) made.push(modeOf(join(folder, name)));
      return mask === undefined ? setUmask() : setUmask(mask);
    });
    try {
      const listener = await SocketListener.open({ path: join(folder, "kms.sock"), mode: 0o600 }, accept);
      await listener.close();
    } finally {
      spy.mockRestore();
      setUmask(before);
    }
    expect(made).toEqual([0o600]);
  });

  test.runIf(process.getuid?.() === 0)("belongs to whom it should", async () => {
    const path = join(makeFolder(), "kms.sock");
    const listener = await SocketListener.open(
      { path, mode: 0o600, owner: { uid: 4711, gid: 4712 } },
      accept,
    );
    expect(lstatSync(path)).toMatchObject({ uid: 4711, gid: 4712 });
    await listener.close();
  });

  test("replaces a stale one", async () => {
    const folder = makeFolder();
    const path = join(folder, "kms.sock");
    await makeStaleSocket(folder, path);
    const listener = await SocketListener.open({ path, mode: 0o600 }, accept);
    expect(await answers(path)).toBe(true);
    await listener.close();
    expect(existsSync(path)).toBe(false);
  });

  test("refuses to take a live one's place, which goes on", async () => {
    const path = join(makeFolder(), "kms.sock");
    await listenAt(path);
    await expect(SocketListener.open({ path, mode: 0o600 }, accept)).rejects.toMatchObject({
      code: "SocketInUse",
    });
    expect(await answers(path)).toBe(true);
  });

  test.each(["free", "stale"])("of several starts at once at a %s path one gets it", async (before) => {
    for (let round = 0; round < 10; round++) {
      const folder = makeFolder();
      const path = join(folder, "kms.sock");
      if (before === "stale") await makeStaleSocket(folder, path);
      const starts = await Promise.allSettled(
        [0, 1, 2].map(() => SocketListener.open({ path, mode: 0o600 }, accept)),
      );
      const failures = starts.filter((start) => start.status === "rejected").map(({ reason }) => reason);
      expect(failures).toEqual([
        expect.objectContaining({ code: "SocketInUse" }),
        expect.objectContaining({ code: "SocketInUse" }),
      ]);
      expect(await answers(path)).toBe(true);
      expect(readdirSync(folder)).toEqual(["kms.sock"]);
      for (const start of starts) if (start.status === "fulfilled") await start.value.close();
      expect(existsSync(path)).toBe(false);
    }
  });

  test.each([
    ["a file", (path: string) => writeFileSync(path, "precious")],
    ["a folder", (path: string) => mkdirSync(path)],
    ["a link", (path: string) => symlinkSync("/dev/null", path)],
  ])("does not replace %s", async (_name, make) => {
    const path = join(makeFolder(), "kms.sock");
    make(path);
    const { ino } = lstatSync(path);
    await expect(SocketListener.open({ path, mode: 0o600 }, accept)).rejects.toMatchObject({
      code: "SocketUnusable",
      message: expect.stringContaining("not a socket"),
    });
    expect(lstatSync(path).ino).toBe(ino);
  });

  test("in a folder that is missing says so", async () => {
    const path = join(makeFolder(), "missing", "kms.sock");
    await expect(SocketListener.open({ path, mode: 0o600 }, accept)).rejects.toMatchObject({
      code: "SocketUnusable",
      message: expect.stringContaining("does not exist"),
    });
  });

  test("in a folder that is closed says so", async () => {
    const folder = makeFolder();
    chmodSync(folder, 0o500);
    await asNobody(async () => {
      const opening = SocketListener.open({ path: join(folder, "s"), mode: 0o600 }, accept);
      await expect(opening).rejects.toMatchObject({ code: "SocketUnusable" });
    });
  });

  test("of 107 bytes is made whole, not cut", async () => {
    const folder = makeFolder();
    const path = join(folder, "k".repeat(107 - folder.length - 1));
    const listener = await SocketListener.open({ path, mode: 0o600 }, accept);
    expect(readdirSync(folder)[0]).toHaveLength(107 - folder.length - 1);
    expect(await answers(path)).toBe(true);
    await listener.close();
  });

  test("closing takes away its own name only", async () => {
    const path = join(makeFolder(), "kms.sock");
    const old = await SocketListener.open({ path, mode: 0o600 }, accept);
    rmSync(path);
    const young = await SocketListener.open({ path, mode: 0o600 }, accept);
    await old.close();
    expect(await answers(path)).toBe(true);
    await young.close();
    await young.close();
    expect(existsSync(path)).toBe(false);
  });
});
