/** Counts over all runs, for the report. */
export const tally = new Map<string, number>();

export function count(what: string, by = 1): void {
  tally.set(what, (tally.get(what) ?? 0) + by);
}
