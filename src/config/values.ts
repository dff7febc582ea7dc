import * as z from "zod";

import { Name } from "../wire/name.ts";

/** Values that several parts of the configuration are made of. */

const ADDRESS = /^(\[[0-9a-fA-F:]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})$/;

export const Address = z
  .string()
  .regex(ADDRESS, { error: "write an address as HOST:PORT, an IPv6 host in brackets", abort: true })
  .refine((text) => portOf(text) <= 65_535, "the port is at most 65535");

/** The port of an `Address`. */
export function portOf(address: string): number {
  return Number(address.slice(address.lastIndexOf(":") + 1));
}

/** The host of an `Address`, an IPv6 one in its brackets. */
export function hostOf(address: string): string {
  return address.slice(0, address.lastIndexOf(":"));
}

/** Whether nothing outside this machine can reach the host; a name is not looked up. */
export function isLoopbackHost(host: string): boolean {
  return /^(localhost|127(\.[0-9]{1,3}){3}|\[(0*:)*:?0{0,3}1\])$/.test(host);
}

/** An https URL without user, query or fragment. */
export const HttpsUrl = z
  .url({ protocol: /^https$/, error: ofFormat("must be an https:// URL") })
  .max(255)
  .refine(isBareUrl, "must be a URL without user name, query or fragment");

/** The address of a cloud's API. Where plain http may be is for cross-check.ts to say. */
export const Endpoint = z
  .url({ protocol: /^https?$/, error: ofFormat("must be an https:// URL") })
  .max(255)
  .refine(isBareUrl, "must be a URL without user name, query or fragment");

/** The host name of a URL, an IPv6 one in its brackets. */
export function hostOfUrl(url: string): string {
  return new URL(url).hostname;
}

/** A format's message, but not for a field that is not there, of which parseShape says so. */
export function ofFormat(message: string): z.core.$ZodErrorMap {
  return ({ input }) => (input === undefined ? undefined : message);
}

/** Whether a URL is without user, query and fragment. */
function isBareUrl(text: string): boolean {
  return /^[^?#@\s]*$/.test(text);
}

/** RFC 3339; a bare date is its 00:00Z. Parsed to milliseconds since the epoch. */
export const Instant = z
  .union(
    [z.iso.date(), z.iso.datetime({ offset: true })],
    "must be an RFC 3339 date or date and time, as 2027-11-01 or 2027-11-01T12:00:00Z",
  )
  .transform((text) => Date.parse(text));

/**
 * A map from names to values. Its prototype is null, so that a lookup by what a caller sent, `constructor` say,
 * finds what the configuration holds and nothing else.
 */
export function named<Value extends z.ZodType>(value: Value) {
  return z.record(Name, value).transform(withoutPrototype);
}

function withoutPrototype<Value>(map: Record<string, Value>): Record<string, Value> {
  return Object.assign<Record<string, Value>, Record<string, Value>>(Object.create(null), map);
}

/**
 * For a check that spans these fields: it runs whatever else is wrong beside them, so that all mistakes are told at
 * once, and not when one of them holds another kind of value than the check expects.
 */
export function spanning(...fields: readonly string[]) {
  const spanned = new Set<PropertyKey | undefined>([undefined, ...fields]);
  return {
    when: ({ issues }: z.core.ParsePayload): boolean =>
      issues.every((issue) => isSound(issue) || !spanned.has(issue.path?.[0])),
  };
}

function isSound({ code, continue: goesOn }: z.core.$ZodRawIssue): boolean {
  return goesOn === true || code === "unrecognized_keys";
}
