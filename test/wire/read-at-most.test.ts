import { expect, it } from "vitest";

import { readAtMost } from "../../src/wire/read-at-most.ts";

const LIMIT = 5;

function answer(...chunks: number[][]) {
  let cancelled = false;
  const body = new ReadableStream<Uint8Array>({
    pull(controller) {
      const next = chunks.shift();
      if (next === undefined) controller.close();
      else controller.enqueue(Uint8Array.from(next));
    },
    cancel() {
      cancelled = true;
    },
  });
  return { response: new Response(body), wasCancelled: () => cancelled, left: () => chunks.length };
}

it("joins what comes in pieces, up to the limit", async () => {
  expect(await readAtMost(answer([1, 2], [], [3, 4, 5]).response, LIMIT)).toEqual(
    Uint8Array.of(1, 2, 3, 4, 5),
  );
});

it("reads nothing of an answer without a body", async () => {
  expect(await readAtMost(new Response(null), LIMIT)).toEqual(new Uint8Array());
});

it("leaves the rest of a body that is too long", async () => {
  const { response, wasCancelled, left } = answer([1, 2, 3], [4, 5, 6], [7], [8], [9]);
  expect(await readAtMost(response, LIMIT)).toBeUndefined();
  expect(wasCancelled()).toBe(true);
  expect(left()).toBeGreaterThan(0);
});
