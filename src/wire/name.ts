import * as z from "zod";

/** What KEKs, clusters, nodes and members are called: at most 40 characters, fit for a URL path, a metric label and a claim. */
export const NAME_PATTERN = /^[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?$/;

/** A KEK, cluster, node or member name. */
export const Name = z
  .string()
  .regex(NAME_PATTERN, "use 1 to 40 lower-case letters, digits or hyphens, with no hyphen at either end");
