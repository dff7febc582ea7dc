import { expect, it } from "vitest";

import { brokerConfigJsonSchema } from "../../src/config/json-schema.ts";
import { run } from "./run.ts";

it("kekctl config schema prints the JSON Schema of the broker's configuration", async () => {
  const { code, out, err } = await run(["config", "schema"]);
  expect([code, err]).toEqual([0, ""]);
  expect(JSON.parse(out)).toEqual(JSON.parse(JSON.stringify(brokerConfigJsonSchema())));
});
