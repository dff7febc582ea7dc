import { describe, expect, it } from "vitest";

import { Limiter } from "../../src/kms/limiter.ts";

const forever = new AbortController().signal;

/** Work that the test ends, and that says when it began. */
function work() {
  let resolve: (result: string) => void = () => {};
  const promise = new Promise<string>((resolvePromise) => (resolve = resolvePromise));
  let began = false;
  const run = () => {
    began = true;
    return promise;
  };
  return { run, resolve: (result: string) => resolve(result), began: () => began };
}

describe("a limiter", () => {
  it("runs so much at once, and the rest in turn", async () => {
    const limiter = new Limiter(2, 2);
    const [first, second, third, fourth] = [work(), work(), work(), work()];
    const results = [first, second, third, fourth].map(({ run }) => limiter.run(forever, run));
    expect([first, second, third, fourth].map(({ began }) => began())).toStrictEqual([
      true,
      true,
      false,
      false,
    ]);

    second.resolve("2");
    await results[1];
    await Promise.resolve();
    expect([third.began(), fourth.began()]).toStrictEqual([true, false]);
    for (const { resolve } of [first, third, fourth]) resolve("done");
    await expect(Promise.all(results)).resolves.toStrictEqual(["done", "2", "done", "done"]);
  });

  it("refuses with Throttled when the queue is full, and not once there is room again", async () => {
    const limiter = new Limiter(1, 1);
    const [first, second] = [work(), work()];
    const running = limiter.run(forever, first.run);
    const queued = limiter.run(forever, second.run);
    await expect(limiter.run(forever, work().run)).rejects.toMatchObject({ code: "Throttled" });
    first.resolve("1");
    second.resolve("2");
    await Promise.all([running, queued]);
    await expect(limiter.run(forever, async () => "3")).resolves.toBe("3");
  });

  it("gives up waiting when the signal aborts, and its place in the queue with it", async () => {
    const limiter = new Limiter(1, 1);
    const [first, never, third] = [work(), work(), work()];
    const running = limiter.run(forever, first.run);
    const controller = new AbortController();
    const waiting = limiter.run(controller.signal, never.run);
    controller.abort();
    await expect(waiting).rejects.toMatchObject({ code: "Throttled" });

    const queued = limiter.run(forever, third.run);
    first.resolve("1");
    third.resolve("3");
    await expect(Promise.all([running, queued])).resolves.toStrictEqual(["1", "3"]);
    expect(never.began()).toBe(false);
  });

  it("frees the place of work that failed", async () => {
    const limiter = new Limiter(1, 0);
    const broken = new Error("broken");
    await expect(limiter.run(forever, () => Promise.reject(broken))).rejects.toBe(broken);
    await expect(limiter.run(forever, async () => "next")).resolves.toBe("next");
  });
});
