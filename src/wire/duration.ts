import * as z from "zod";

const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400 };

/** A duration as people write it, `30s`, `10m`, `24h` or `7d`; parsed to whole seconds. */
export const Duration = z
  .string()
  .regex(
    /^[1-9][0-9]{0,6}[smhd]$/,
    "write a duration as a whole number and one of s, m, h, d: 30s, 10m, 24h, 7d",
  )
  .transform((text) => Number(text.slice(0, -1)) * (SECONDS[text.slice(-1)] ?? 1));
