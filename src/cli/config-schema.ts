import { brokerConfigJsonSchema } from "../config/json-schema.ts";
import type { Terminal } from "./terminal.ts";

/** Prints the JSON Schema of the broker's configuration. */
export function printConfigSchema({ out }: Terminal): void {
  out(`${JSON.stringify(brokerConfigJsonSchema(), null, 2)}\n`);
}
