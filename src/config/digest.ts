import { sha256Hex } from "../wire/hex.ts";
import type { BrokerConfig } from "./schema.ts";

/**
 * Names a configuration: hex SHA-256 of its canonical JSON. The same for two texts that mean the same, whatever
 * their order of names, comments, or defaults written out.
 */
export async function configDigest(config: BrokerConfig): Promise<string> {
  return sha256Hex(new TextEncoder().encode(canonicalJson(config)));
}

/**
 * JSON without white space, names sorted by UTF-16 code units, absent fields left out: RFC 8785, whose texts and
 * numbers are those of `JSON.stringify`. Lists keep their order.
 */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value);
  const fields = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, field]) => `${JSON.stringify(name)}:${canonicalJson(field)}`);
  return `{${fields.join(",")}}`;
}
