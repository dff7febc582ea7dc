import { execFileSync } from "node:child_process";
import {
  closeSync,
  constants,
  mkdtempSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Writable } from "node:stream";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { createAppendRecorder } from "../../src/runtime/append-recorder.ts";
import { openLineFile, streamLineWriter } from "../../src/runtime/line-writer.ts";
import type { Intent, Outcome } from "../../src/audit/entry.ts";

const INTENT: Intent = {
  kind: "intent",
  id: "1",
  time: "2026-01-01T00:00:00.000Z",
  requestId: "r",
  operation: "wrap",
  principal: { kind: "node", cluster: "c", subject: "c/n", authority: "t" },
  kek: "k",
  cluster: "c",
  config: "d",
};
const OUTCOME: Outcome = {
  kind: "outcome",
  id: "1",
  time: INTENT.time,
  requestId: "r",
  result: "ok",
  members: [],
};

describe("a file of lines", () => {
  let folder: string;
  let path: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "kek-lines-"));
    path = join(folder, "custody.jsonl");
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it("keeps every line, whole and in order, under many writers at once", async () => {
    const file = await openLineFile(path);
    const lines = Array.from({ length: 500 }, (_, index) => `${index} ${"x".repeat(index % 97)}`);
    await Promise.all(lines.map((line) => file.write(line)));
    await file.close();
    expect(readFileSync(path, "utf8")).toBe(`${lines.join("\n")}\n`);
  });

  it("is readable by its owner alone", async () => {
    const file = await openLineFile(path);
    await file.close();
    expect(statSync(path).mode & 0o777).toBe(0o600);
  });

  it("appends to what is there", async () => {
    for (const line of ["first", "second"]) {
      const file = await openLineFile(path);
      await file.write(line);
      await file.close();
    }
    expect(readFileSync(path, "utf8")).toBe("first\nsecond\n");
  });

  it("goes on in a new file after the old one was moved away, and loses no line between", async () => {
    const file = await openLineFile(path);
    const before = file.write("before");
    renameSync(path, `${path}.1`);
    const reopened = file.reopen();
    const after = reopened.then(() => file.write("after"));
    await Promise.all([before, reopened, after]);
    await file.close();
    expect(readFileSync(`${path}.1`, "utf8") + readFileSync(path, "utf8")).toBe("before\nafter\n");
    expect(readFileSync(path, "utf8")).toBe("after\n");
  });

  it("rejects at once where it cannot be opened", async () => {
    await expect(openLineFile(join(folder, "no", "such", "folder"))).rejects.toThrow("ENOENT");
  });

  it("rejects what comes while ten thousand lines wait for a disk that hangs", async () => {
    execFileSync("mkfifo", [path]);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    const file = await openLineFile(path);
    // More than a pipe holds that nobody reads.
    const lines = ["x".repeat(200_000), ...Array.from({ length: 10_000 }, () => "waits")];
    const waiting = lines.map((line) => file.write(line));
    await expect(file.write("too many")).rejects.toThrow("too many lines");
    closeSync(reader);
    const ended = await Promise.allSettled(waiting);
    expect(new Set(ended.map(({ status }) => status))).toEqual(new Set(["rejected"]));
    await file.close();
  });

  it("rejects a line that the disk has no room for", async () => {
    // The kernel's own full disk.
    const full = await openLineFile("/dev/full");
    await expect(full.write("lost")).rejects.toThrow("ENOSPC");
    await full.close();
  });
});

describe("the recorder over it", () => {
  it("resolves an intent only once its line was taken", async () => {
    const taken: string[] = [];
    let release: (() => void) | undefined;
    const recorder = createAppendRecorder(
      {
        write: (line) =>
          new Promise((resolve) => {
            release = () => {
              taken.push(line);
              resolve();
            };
          }),
        reopen: () => Promise.resolve(),
        close: () => Promise.resolve(),
      },
      () => {},
    );
    let done = false;
    const recorded = (async () => {
      await recorder.intent(INTENT, new AbortController().signal);
      done = true;
    })();
    await Promise.resolve();
    expect(done).toBe(false);
    release?.();
    await recorded;
    expect(taken.map((line) => JSON.parse(line) as unknown)).toEqual([INTENT]);
  });

  it("gives an intent up with its signal, on a disk that hangs", async () => {
    const hanging = {
      write: () => new Promise<void>(() => {}),
      reopen: () => Promise.resolve(),
      close: () => Promise.resolve(),
    };
    const recorder = createAppendRecorder(hanging, () => {});
    const controller = new AbortController();
    const recorded = recorder.intent(INTENT, controller.signal);
    controller.abort();
    await expect(recorded).rejects.toThrow("out of time");
  });

  it("tells of an outcome that was lost instead of throwing", async () => {
    const lost: unknown[] = [];
    const failing = new Writable({
      write: (_chunk, _encoding, callback) => callback(new Error("broken pipe")),
    });
    failing.on("error", () => {});
    const recorder = createAppendRecorder(streamLineWriter(failing), (cause) => void lost.push(cause));
    await recorder.outcome(OUTCOME);
    expect(lost).toHaveLength(1);
  });
});
