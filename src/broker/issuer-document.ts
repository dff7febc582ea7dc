import * as z from "zod";

import { orAbort, startDeadline } from "../wire/deadline.ts";
import { readAtMost } from "../wire/read-at-most.ts";
import { isPublicAddress } from "./address.ts";

const TIMEOUT_MS = 2000;
const MAX_BYTES = 65_536;

/** How issuers are reached. */
export interface IssuerNetwork {
  readonly fetch: (url: string, init: RequestInit) => Promise<Response>;
  /**
   * Every address of a host name, where the runtime can resolve (not on Workers). Asked before the fetch, which
   * resolves again: what a rebinding in between can reach must still hold a certificate for the name.
   */
  readonly resolve?: ((host: string) => Promise<readonly string[]>) | undefined;
}

/** Why an issuer's keys were not had. The message is for our log. */
export class IssuerError extends Error {
  override readonly name = "IssuerError";
}

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string().max(2048) });
const Jwks = z.object({
  keys: z
    .array(z.looseObject({ kty: z.string() }))
    .min(1)
    .max(100),
});
export type Jwks = z.infer<typeof Jwks>;

/**
 * An issuer's published keys, by OpenID Connect discovery: https, the issuer's own host, no redirects, no private
 * addresses but those listed, 2 s and 64 KiB for each of the two documents.
 * @throws IssuerError.
 */
export async function fetchJwks(
  issuer: string,
  privateAddresses: readonly string[],
  network: IssuerNetwork,
): Promise<Jwks> {
  const get = async <Schema extends z.ZodType>(url: URL, schema: Schema): Promise<z.output<Schema>> => {
    const parsed = schema.safeParse(await fetchJson(url, privateAddresses, network));
    if (!parsed.success) throw new IssuerError(`${url.pathname} is not what OpenID Connect describes`);
    return parsed.data;
  };
  const base = new URL(issuer);
  const found = await get(
    new URL(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`),
    Discovery,
  );
  if (found.issuer !== issuer) throw new IssuerError("the discovery document is another issuer's");
  const jwksUrl = URL.canParse(found.jwks_uri) ? new URL(found.jwks_uri) : undefined;
  if (jwksUrl?.host !== base.host) throw new IssuerError("jwks_uri is not on the issuer's host");
  return get(jwksUrl, Jwks);
}

async function fetchJson(
  url: URL,
  privateAddresses: readonly string[],
  network: IssuerNetwork,
): Promise<unknown> {
  requireHttps(url);
  const deadline = startDeadline(TIMEOUT_MS);
  try {
    await orAbort(requireReachable(url, privateAddresses, network), deadline.signal);
    const init: RequestInit = {
      signal: deadline.signal,
      redirect: "manual",
      headers: { accept: "application/json" },
    };
    const response = await orAbort(network.fetch(url.href, init), deadline.signal);
    if (response.status !== 200) throw new IssuerError(`answered ${response.status}`);
    const bytes = await orAbort(readAtMost(response, MAX_BYTES), deadline.signal);
    if (bytes === undefined) throw new IssuerError(`answered more than ${MAX_BYTES} bytes`);
    return JSON.parse(new TextDecoder().decode(bytes)) as unknown;
  } catch (cause) {
    if (cause instanceof IssuerError) throw cause;
    throw new IssuerError(deadline.signal.aborted ? "no answer in time" : "unreachable, or not JSON", {
      cause,
    });
  } finally {
    deadline.clear();
  }
}

function requireHttps(url: URL): void {
  if (url.protocol !== "https:") throw new IssuerError("not an https URL");
  if (url.username !== "" || url.password !== "") throw new IssuerError("the URL holds credentials");
}

async function requireReachable(
  { hostname }: URL,
  privateAddresses: readonly string[],
  { resolve }: IssuerNetwork,
): Promise<void> {
  const literal = hostname.replace(/^\[(.*)\]$/, "$1");
  const isLiteral = /^[0-9.]+$/.test(literal) || literal.includes(":");
  const addresses = isLiteral ? [literal] : ((await resolve?.(hostname)) ?? []);
  if (addresses.every((address) => isPublicAddress(address) || privateAddresses.includes(address))) return;
  throw new IssuerError("the host has a private address that is not in `privateAddresses`");
}
