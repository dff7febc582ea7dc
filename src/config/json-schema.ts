import * as z from "zod";

import { BrokerConfig } from "./schema.ts";

/** The JSON Schema of the broker's configuration, for editors and for checks without kekctl: shapes only. */
export function brokerConfigJsonSchema(): z.core.JSONSchema.JSONSchema {
  const schema = z.toJSONSchema(BrokerConfig, { target: "draft-2020-12", io: "input" });
  return { ...schema, title: "kek-broker configuration" };
}
