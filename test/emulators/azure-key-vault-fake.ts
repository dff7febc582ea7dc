import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";

import { FakeKey, type FakeKeyOptions, type FakeVersion } from "./azure-key-vault-fake-key.ts";
import { type FailureFault, Faults } from "./faults.ts";
import type { ContractFault } from "./provider-contract.ts";

/**
 * A fake of one Azure Key Vault (or Managed HSM): its keys' data plane, as far as Microsoft's public REST reference
 * says what it does. Real RSA and real AES key wrap. What the reference leaves open is marked as a guess.
 */
export interface FakeKeyVaultOptions {
  /** `https://HOST[:PORT]`, under which keys are named. */
  readonly url: string;
  /** What a token must be made for, as the challenge says: `https://vault.azure.net` or `https://managedhsm.azure.net`. */
  readonly resource?: string;
  readonly tenant?: string;
  /** Decides on tokens instead of the fake, which takes those of `issueToken`. */
  readonly acceptToken?: (token: string) => boolean | Promise<boolean>;
  /** Milliseconds since the epoch. */
  readonly now?: () => number;
  /** Wraps with a disabled RSA key too: Azure/azure-sdk-for-python#45342 reports that the real vault does. */
  readonly wrapsWhenDisabled?: boolean;
}

/** How every request goes, until told otherwise. */
export type Behaviour = "well" | "down" | "throttled" | { readonly slowMs: number };

/** Which versions of a key: its newest one, all but that, or all. */
export type Which = "latest" | "older" | "all";

export interface ReceivedByVault {
  readonly method: string;
  /** With its query. */
  readonly path: string;
  readonly headers: Headers;
  readonly body: string;
}

/** The connection ends without an answer. */
class ConnectionReset extends Error {}

const API_VERSIONS = new Set(["7.0", "7.1", "7.2", "7.3", "7.4", "7.5", "7.6", "2025-07-01"]);

export class FakeKeyVault {
  readonly url: string;
  readonly requests: ReceivedByVault[] = [];
  readonly #options: FakeKeyVaultOptions;
  readonly #now: () => number;
  readonly #keys = new Map<string, FakeKey>();
  readonly #deleted = new Map<string, FakeKey>();
  readonly #forbidden = new Map<string, ReadonlySet<string>>();
  readonly #tokens = new Set<string>();
  readonly #faults = new Faults<Response>(failure);
  #behaviour: Behaviour = "well";
  #made = 0;

  constructor(options: FakeKeyVaultOptions) {
    this.url = new URL(options.url).origin;
    this.#options = options;
    this.#now = options.now ?? Date.now;
  }

  /** A bearer token that this vault takes, until `revokeTokens`. */
  issueToken(): string {
    const token = `fake-token-${randomUUID()}`;
    this.#tokens.add(token);
    return token;
  }

  /** All that were issued until now. */
  revokeTokens(): void {
    this.#tokens.clear();
  }

  /** Returns the key's URL without a version. */
  createKey({
    name = `key-${++this.#made}`,
    ...options
  }: FakeKeyOptions & { readonly name?: string } = {}): string {
    if (this.#keys.has(name) || this.#deleted.has(name)) throw new Error(`there is a key ${name}`);
    this.#keys.set(name, new FakeKey(name, options, this.#now()));
    return `${this.url}/keys/${name}`;
  }

  /** A new version, of the same type and size unless told otherwise; returns its name. */
  rotate(keyUrl: string, bits?: number): string {
    return this.#key(keyUrl).addVersion(this.#now(), bits).name;
  }

  /** Newest last. */
  versions(keyUrl: string): readonly string[] {
    return this.#key(keyUrl).versions.map(({ name }) => name);
  }

  disable(keyUrl: string, which: Which = "latest"): void {
    for (const version of this.#key(keyUrl).select(which)) version.enabled = false;
  }

  enable(keyUrl: string, which: Which = "latest"): void {
    for (const version of this.#key(keyUrl).select(which)) version.enabled = true;
  }

  /** Seconds since the epoch, or none. */
  setValidity(keyUrl: string, { nbf, exp }: { nbf?: number; exp?: number }, which: Which = "latest"): void {
    for (const version of this.#key(keyUrl).select(which)) Object.assign(version, { nbf, exp });
  }

  setKeyOps(keyUrl: string, keyOps: readonly string[], which: Which = "latest"): void {
    for (const version of this.#key(keyUrl).select(which)) version.keyOps = keyOps;
  }

  /** Soft: `recoverKey` takes it back. */
  deleteKey(keyUrl: string): void {
    this.#deleted.set(nameIn(keyUrl), this.#key(keyUrl));
    this.#keys.delete(nameIn(keyUrl));
  }

  recoverKey(keyUrl: string): void {
    const key = this.#deleted.get(nameIn(keyUrl));
    if (key === undefined) throw new Error("no such deleted key");
    this.#deleted.delete(nameIn(keyUrl));
    this.#keys.set(nameIn(keyUrl), key);
  }

  /** For good. */
  purgeKey(keyUrl: string): void {
    this.#keys.delete(nameIn(keyUrl));
    this.#deleted.delete(nameIn(keyUrl));
  }

  /** Azure deletes keys, never single versions: this shows what a version does that was never there. */
  removeOlder(keyUrl: string): void {
    this.#key(keyUrl).removeOlder();
  }

  /** Takes the role for these operations (`get`, `wrapkey`, `unwrapkey`) on the key from whoever calls. */
  forbid(keyUrl: string, operations: readonly string[] = ["get", "wrapkey", "unwrapkey"]): void {
    this.#forbidden.set(nameIn(keyUrl), new Set(operations));
  }

  permit(keyUrl: string): void {
    this.#forbidden.delete(nameIn(keyUrl));
  }

  /** The next requests that bring a token, in this order, meet these faults. */
  inject(...faults: readonly ContractFault[]): void {
    this.#faults.inject(...faults);
  }

  /** How every request goes from now on, challenges too. */
  behave(behaviour: Behaviour): void {
    this.#behaviour = behaviour;
  }

  /** The whole vault without TLS. Rejects with `ConnectionReset` for a connection that is cut. */
  async handle(request: Request): Promise<Response> {
    const { pathname, search } = new URL(request.url);
    const body = await request.text();
    const { method, headers } = request;
    this.requests.push({ method, path: `${pathname}${search}`, headers, body });
    const answer = await this.#react({ method, headers, url: new URL(request.url), body });
    const clientId = headers.get("x-ms-client-request-id");
    if (clientId !== null) answer.headers.set("x-ms-client-request-id", clientId);
    answer.headers.set("x-ms-request-id", randomUUID());
    answer.headers.set("x-ms-keyvault-region", "fake");
    answer.headers.set("cache-control", "no-cache");
    return answer;
  }

  async #react(request: Asked): Promise<Response> {
    if (this.#behaviour === "down") throw new ConnectionReset("the fake is down");
    if (this.#behaviour === "throttled") return throttled();
    if (typeof this.#behaviour === "object") await setTimeout(this.#behaviour.slowMs);
    const token = /^Bearer (.+)$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (token === undefined) return this.#challenge("AKV10000: Request is missing a Bearer or PoP token.");
    return this.#faults.meet(async () =>
      (await this.#accepts(token))
        ? this.#serve(request)
        : this.#challenge("AKV10022: Invalid token.", `, error="invalid_token"`),
    );
  }

  async #accepts(token: string): Promise<boolean> {
    return this.#options.acceptToken?.(token) ?? this.#tokens.has(token);
  }

  #challenge(message: string, more = ""): Response {
    const { tenant = "72f988bf-0000-4000-8000-2d7cd011db47", resource = "https://vault.azure.net" } =
      this.#options;
    const authorization = `https://login.microsoftonline.com/${tenant}`;
    return refused(
      401,
      { code: "Unauthorized", message },
      {
        "www-authenticate": `Bearer authorization="${authorization}", resource="${resource}"${more}`,
      },
    );
  }

  #serve(request: Asked): Response {
    const apiVersion = request.url.searchParams.get("api-version");
    if (apiVersion === null || !API_VERSIONS.has(apiVersion)) {
      return badParameter("The api-version is missing or not supported."); // guess: the code
    }
    const route = routeOf(request);
    if (route === undefined) return refused(404, { code: "NotFound", message: "No such operation." });
    const { name, version: wanted, operation } = route;
    if (this.#forbidden.get(name)?.has(operation) === true) return forbiddenByRbac(this.url, name, operation);
    const version = this.#keys.get(name)?.version(wanted);
    if (version === undefined) return keyNotFound(wanted === "" ? name : `${name}/${wanted}`);
    const kid = `${this.url}/keys/${name}/${version.name}`;
    if (operation === "get") return Response.json(version.bundle(kid));
    const unusable = this.#unusable(version, operation);
    if (unusable !== undefined) return unusable;
    const parameters = parametersOf(request);
    if (parameters instanceof Response) return parameters;
    const { alg, value } = parameters;
    const result = operation === "wrapkey" ? version.wrap(alg, value) : version.unwrap(alg, value);
    return typeof result === "string"
      ? badParameter(result)
      : Response.json({ kid, value: result.toString("base64url") });
  }

  /** By "About keys": `enabled` holds for every operation, `nbf` and `exp` do not for unwrap. */
  #unusable(version: FakeVersion, operation: string): Response | undefined {
    const name = operation === "wrapkey" ? "wrapKey" : "unwrapKey";
    const exempt =
      this.#options.wrapsWhenDisabled === true && name === "wrapKey" && version.kty.startsWith("RSA");
    if (!version.enabled && !exempt) {
      return forbidden(`Operation ${name} is not allowed on a disabled key.`, "KeyDisabled");
    }
    if (!version.keyOps.includes(name)) {
      return forbidden(`Operation ${name} is not permitted on this key.`, "KeyOperationForbidden");
    }
    const seconds = this.#now() / 1000;
    const outside =
      (version.nbf !== undefined && seconds < version.nbf) ||
      (version.exp !== undefined && seconds >= version.exp);
    // No inner code: the reference names none.
    if (name === "wrapKey" && outside)
      return forbidden(`Operation ${name} is not allowed outside of nbf and exp.`);
    return undefined;
  }

  #key(keyUrl: string): FakeKey {
    const key = this.#keys.get(nameIn(keyUrl));
    if (key === undefined) throw new Error(`no key ${keyUrl}`);
    return key;
  }
}

interface Asked {
  readonly method: string;
  readonly headers: Headers;
  readonly url: URL;
  readonly body: string;
}

/** Names are case-insensitive in the real vault; here they are as they were made. */
function nameIn(keyUrl: string): string {
  return new URL(keyUrl).pathname.split("/")[2] ?? "";
}

/** The version may be left out, with its slash or without. */
function routeOf({ method, url }: Asked) {
  const match = /^\/keys\/([0-9A-Za-z-]+)(?:\/([0-9A-Za-z]*))??(?:\/(wrapkey|unwrapkey))?\/?$/i.exec(
    url.pathname,
  );
  if (match === null) return undefined;
  const [, name = "", version = "", posted] = match;
  const operation = posted?.toLowerCase() ?? "get";
  if ((method === "POST") !== (posted !== undefined) || (method !== "POST" && method !== "GET"))
    return undefined;
  return { name, version, operation };
}

/** As strict as the reference: both fields, and base64url without padding. */
function parametersOf({ headers, body }: Asked): { alg: string; value: Buffer } | Response {
  if (headers.get("content-type")?.split(";")[0] !== "application/json") {
    return refused(415, { code: "UnsupportedMediaType", message: "Not JSON." }); // guess: the code
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return badParameter("The request body is not JSON.");
  }
  const { alg, value } = (parsed ?? {}) as { alg?: unknown; value?: unknown };
  if (typeof alg !== "string") return badParameter("Property 'alg' is required.");
  if (typeof value !== "string" || value === "") return badParameter("Property 'value' is required.");
  const bytes = Buffer.from(value, "base64url");
  if (bytes.toString("base64url") !== value) return badParameter("Content of 'value' is not base64url.");
  return { alg, value: bytes };
}

function failure(fault: FailureFault): Response | Promise<Response> {
  switch (fault) {
    case "throttled":
      return throttled();
    case "denied":
      return forbidden("The caller has no permission on key vault 'secret-vault-name'.", "AccessDenied");
    case "brokenBefore":
    case "brokenAfter":
      return refused(500, { code: "InternalServerError", message: "An error in secret-vault-name." });
    case "silent":
      return new Promise(() => {});
    case "reset":
      throw new ConnectionReset("the fake cuts the connection");
  }
}

function throttled(): Response {
  const message =
    "Request was not processed because too many requests were received. Reason: VaultRequestTypeLimitReached";
  return refused(429, { code: "Throttled", message }, { "retry-after": "10" });
}

function forbiddenByRbac(vault: string, name: string, operation: string): Response {
  const message = `Caller is not authorized to perform action on resource. Caller: appid=fad7d5b3-0000-4000-8000-8d12124e1ce4. Action: 'Microsoft.KeyVault/vaults/keys/${operation}/action' Resource: '/subscriptions/111122223333/${name}' Vault: ${vault}`;
  return forbidden(message, "ForbiddenByRbac");
}

function forbidden(message: string, inner?: string): Response {
  return refused(403, {
    code: "Forbidden",
    message,
    ...(inner !== undefined && { innererror: { code: inner } }),
  });
}

function keyNotFound(id: string): Response {
  return refused(404, {
    code: "KeyNotFound",
    message: `A key with (name/id) ${id} was not found in this key vault.`,
  });
}

function badParameter(message: string): Response {
  return refused(400, { code: "BadParameter", message });
}

interface VaultError {
  readonly code: string;
  readonly message: string;
  readonly innererror?: { readonly code: string };
}

/** An error as a vault writes it. */
export function refused(status: number, error: VaultError, headers: Record<string, string> = {}): Response {
  return Response.json({ error }, { status, headers });
}
