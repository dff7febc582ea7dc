import type { PrincipalEntry } from "../audit/entry.ts";

/** Who is asking, proven by the token. */
export interface Principal extends PrincipalEntry {
  /** Unique among all principals: what rate limits count by. */
  readonly id: string;
}
