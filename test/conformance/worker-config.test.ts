import { describe, expect, it } from "vitest";

import { send } from "./http/caller.ts";
import { startWorkerdBroker } from "./http/workerd.ts";

describe("a Worker whose configuration is broken", () => {
  it.each([
    ["not YAML", "keks: ["],
    ["refused by the schema", '{"audience":"https://kek.example.com","keks":{"a":{}}}'],
  ])("(%s) answers every request as a problem, and tells callers nothing of it", async (_, config) => {
    const broker = await startWorkerdBroker(config);
    try {
      for (const path of ["/livez", "/v1/keks/a", "/livez"]) {
        const answer = await send(broker.url, "GET", path);
        expect([answer.status, answer.json["code"]]).toEqual([500, "Internal"]);
        expect(answer.headers["content-type"]).toBe("application/problem+json");
        expect(answer.text).not.toContain("keks");
      }
    } finally {
      await broker.close();
    }
  });
});
