import type * as AzureKeys from "@azure/keyvault-keys";
import { LRUCache } from "lru-cache";

import type { AzureKeyName } from "./azure-key.ts";
import type { HeldToken } from "./azure-token.ts";

/** Versions that are opened at the same time are few; a client more costs one round trip (the vault's challenge). */
const MAX_CLIENTS = 8;

/** The SDK's clients for one key: one for its attributes, and one for each of its versions in use. */
export class AzureClients {
  readonly #sdk: typeof AzureKeys;
  readonly #key: AzureKeyName;
  readonly #token: HeldToken;
  readonly #anyHost: boolean;
  readonly #byVersion = new LRUCache<string, AzureKeys.CryptographyClient>({ max: MAX_CLIENTS });
  readonly keys: AzureKeys.KeyClient;

  constructor(sdk: typeof AzureKeys, key: AzureKeyName, token: HeldToken, anyHost: boolean) {
    this.#sdk = sdk;
    this.#key = key;
    this.#token = token;
    this.#anyHost = anyHost;
    this.keys = new sdk.KeyClient(key.vaultUrl, token, clientOptions(anyHost));
  }

  /**
   * @param version 32 hexadecimal digits, or empty for the latest.
   *
   * Made from a key without material, not from a URL: the client then neither asks for the key first, nor can it wrap
   * by itself, nor judge by its own clock whether an expired version may still unwrap.
   */
  ofVersion(version: string): AzureKeys.CryptographyClient {
    const known = this.#byVersion.get(version);
    if (known !== undefined) return known;
    const { vaultUrl, name } = this.#key;
    const id = `${vaultUrl}/keys/${name}${version === "" ? "" : `/${version}`}`;
    const key = { id, name, properties: { vaultUrl, name } };
    const client = new this.#sdk.CryptographyClient(key, this.#token, clientOptions(this.#anyHost));
    this.#byVersion.set(version, client);
    return client;
  }

  /** For a version that turned out not to be there: envelopes may name any. */
  forget(version: string): void {
    this.#byVersion.delete(version);
  }
}

/** New for every client: the SDK writes into it. */
function clientOptions(disableChallengeResourceVerification: boolean): AzureKeys.CryptographyClientOptions {
  return {
    disableChallengeResourceVerification,
    // Retries are the caller's.
    retryOptions: { maxRetries: 0 },
    redirectOptions: { maxRetries: 0 },
    additionalPolicies: [...bodyKept(), followNothing()],
  };
}

type Policies = NonNullable<AzureKeys.CryptographyClientOptions["additionalPolicies"]>;

/**
 * A client's first request goes without its body, to be challenged. If another one is answered in between, the SDK
 * forgets to put the body back, and the vault says of a good wrap that it is a bad parameter.
 */
function bodyKept(): Policies {
  type Request = Parameters<Policies[number]["policy"]["sendRequest"]>[0];
  const bodies = new WeakMap<Request, Request["body"]>();
  return [
    {
      position: "perCall",
      policy: {
        name: "kekBrokerRememberBody",
        sendRequest(request, next) {
          bodies.set(request, request.body);
          return next(request);
        },
      },
    },
    {
      position: "perRetry",
      policy: {
        name: "kekBrokerRestoreBody",
        sendRequest(request, next) {
          const body = bodies.get(request);
          if (request.body === null && body !== undefined && request.headers.has("authorization")) {
            request.body = body;
          }
          return next(request);
        },
      },
    },
  ];
}

/** Where the SDK sends by fetch, that would follow redirects by itself, with the body. Node's client overlooks this. */
function followNothing(): Policies[number] {
  return {
    position: "perRetry",
    policy: {
      name: "kekBrokerFollowNothing",
      sendRequest(request, next) {
        request.requestOverrides = { ...request.requestOverrides, redirect: "manual" };
        return next(request);
      },
    },
  };
}
