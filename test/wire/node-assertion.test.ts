import { createHash } from "node:crypto";
import { expect, it } from "vitest";

import { bodyHash } from "../../src/wire/node-assertion.ts";

it.each(["", "{}", "ü".repeat(5000)])("hashes the body's bytes (%#)", async (body) => {
  const expected = createHash("sha256").update(body).digest("base64url");
  expect(await bodyHash(new TextEncoder().encode(body))).toBe(expected);
});
