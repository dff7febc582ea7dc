import type { AccessToken } from "@azure/core-auth";
import { expect } from "vitest";

import { type AzureProviderOptions, createAzureProvider } from "../../src/kms/azure.ts";
import { type KeyProvider, ProviderError } from "../../src/kms/key-provider.ts";
import { FakeKeyVault, type FakeKeyVaultOptions, refused } from "../emulators/azure-key-vault-fake.ts";
import {
  certificateOfThisProcess,
  credentialOf,
  startHttps,
  trustInThisProcess,
} from "../emulators/azure-key-vault-server.ts";

export const CONTEXT = { kek: "prod-secrets", cluster: "prod-eu-1" };
export const SECRET = new Uint8Array(32).fill(7);
export const call = () => ({ signal: AbortSignal.timeout(10_000), requestId: "request-1" });

/** What a request that brings a token gets instead; `pass` asks the fake. */
export type Twist = (pass: () => Promise<Response>, request: Request) => Response | Promise<Response>;

export interface TwistedVault {
  readonly vault: FakeKeyVault;
  /** The next requests that bring a token meet these, in this order. */
  twist(...twists: readonly Twist[]): void;
  /** The next request without a token is challenged only then. */
  holdChallenge(until: Promise<unknown>): void;
  /** Whether one is held. */
  readonly isHolding: boolean;
  /** Paths without their query, each with its method, since the last time. */
  asked(): readonly string[];
  provider(keyUrl: string, options?: Partial<AzureProviderOptions>): KeyProvider;
  credential(): { getToken: () => Promise<AccessToken> };
  close(): Promise<void>;
}

/** The fake vault, of which single answers can be made wrong. */
export async function startTwistedVault(
  options: Omit<FakeKeyVaultOptions, "url"> = {},
): Promise<TwistedVault> {
  const certificate = certificateOfThisProcess();
  const twists: Twist[] = [];
  let held: Promise<unknown> | undefined;
  let isHolding = false;
  const server = await startHttps(certificate, async (request) => {
    const pass = () => vault.handle(request);
    if (!request.headers.has("authorization")) {
      const until = held;
      held = undefined;
      isHolding = until !== undefined;
      await until;
    }
    const twist = request.headers.has("authorization") ? twists.shift() : undefined;
    return twist === undefined ? pass() : twist(pass, request);
  });
  const vault = new FakeKeyVault({ ...options, url: server.url });
  const distrust = trustInThisProcess(certificate.cert);
  const credential = () => credentialOf(vault.issueToken());
  return {
    vault,
    credential,
    get isHolding() {
      return isHolding;
    },
    holdChallenge: (until) => void (held = until),
    twist: (...next) => void twists.push(...next),
    asked: () =>
      vault.requests.splice(0).map(({ method, path, headers }) => {
        const anonymous = headers.has("authorization") ? "" : " without a token";
        return `${method} ${path.replace(/\?.*/, "")}${anonymous}`;
      }),
    provider: (keyUrl, more) =>
      createAzureProvider({
        keyUrl,
        algorithm: "RSA-OAEP-256",
        bits: 2048,
        credential: credential(),
        anyHost: true,
        ...more,
      }),
    close: async () => {
      distrust();
      await server.close();
    },
  };
}

/** The fake's answer with another body. */
export const changed =
  (change: (body: Record<string, unknown>) => unknown): Twist =>
  async (pass) =>
    Response.json(change((await (await pass()).json()) as Record<string, unknown>));

/** An error as a vault writes it, with a message that must not leave the adapter. */
export function error(status: number, code: string, inner?: string): Twist {
  const message =
    "Vault: secret-vault-name.vault.azure.net; oid=111122223333; https://login.windows.net/tenant";
  return () =>
    refused(
      status,
      { code, message, ...(inner !== undefined && { innererror: { code: inner } }) },
      { "x-ms-request-id": "cloud-request-9" },
    );
}

/** The error, after a look that it holds nothing of the cloud's. */
export async function failure(act: Promise<unknown>): Promise<ProviderError> {
  const thrown = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!(thrown instanceof ProviderError))
    throw new Error("not refused with a ProviderError", { cause: thrown });
  expect(`${JSON.stringify(thrown)} ${thrown.message} ${thrown.stack}`).not.toMatch(
    /https?:|127\.0\.0\.1|vault-name|fake-token|key-\d|111122223333/,
  );
  expect(thrown.cause).toBeUndefined();
  return thrown;
}
