import type { KeyManagementServiceClient } from "@google-cloud/kms";
import * as z from "zod";

import type { AccessTokenSource } from "./access-token.ts";
import { authorizationOf } from "./gcp-credentials.ts";
import { asProviderErrors, type GoogleOperation, isUnauthenticated } from "./gcp-error.ts";
import { exchange, GOOGLE_ENDPOINT, type GoogleHttpRequest, MAX_ANSWER_BYTES } from "./gcp-http.ts";
import { type DecryptRequest, type EncryptRequest, type GoogleKms, googleAnswers } from "./google-kms.ts";
import type { ProviderCall } from "./key-provider.ts";
import { untilAborted } from "./until-aborted.ts";

export interface GoogleSdkOptions {
  /** Another endpoint than Google's own, without a path. `http:` is an emulator: no TLS, and no default credentials. */
  readonly endpoint?: string | undefined;
  readonly transport: "grpc" | "rest";
  /** Without it: Application Default Credentials. */
  readonly accessToken?: AccessTokenSource | undefined;
}

/**
 * For the channel of gRPC. Pings find a connection that a NAT has forgotten, which else costs every call its deadline
 * until TCP gives up; after an outage the next try is seconds away, not two minutes. No look-ups of service
 * configurations in DNS. Retries are the broker's.
 */
const CHANNEL = {
  "grpc.keepalive_time_ms": 30_000,
  "grpc.keepalive_timeout_ms": 5_000,
  "grpc.keepalive_permit_without_calls": 1,
  "grpc.initial_reconnect_backoff_ms": 100,
  "grpc.max_reconnect_backoff_ms": 5_000,
  "grpc.max_receive_message_length": MAX_ANSWER_BYTES,
  "grpc.service_config_disable_resolution": 1,
  "grpc.enable_retries": 0,
  "grpc.enable_channelz": 0,
};

/** Copied out of the memory that the SDK decoded into, which is then zeroed. */
const TakenBytes = z.instanceof(Uint8Array).transform((bytes) => {
  const copy = new Uint8Array(bytes);
  bytes.fill(0);
  return copy;
});

const ANSWERS = googleAnswers(TakenBytes);

/** Google's own SDK, Node only, which is loaded on first use. */
export function createGoogleSdk(options: GoogleSdkOptions): GoogleKms {
  const endpoint = new URL(options.endpoint ?? GOOGLE_ENDPOINT);
  const authorization = authorizationOf(options.accessToken, endpoint.protocol === "http:");
  let connection: Promise<KeyManagementServiceClient> | undefined;
  const connect = () => {
    connection ??= open(endpoint, options.transport).catch((error: unknown) => {
      connection = undefined;
      throw error;
    });
    return connection;
  };

  async function ask<Answer>(
    operation: GoogleOperation,
    call: ProviderCall,
    Answer: z.ZodType<Answer>,
    request: { readonly name: string },
  ): Promise<Answer> {
    return asProviderErrors(operation, call, async () => {
      const { signal, requestId } = call;
      // Neither loading nor looking for credentials knows a deadline.
      const ready = Promise.all([connect(), authorization(signal)]);
      const [client, authorized] = await untilAborted(signal, ready);
      const headers = {
        ...authorized,
        "x-goog-request-params": `name=${encodeURIComponent(request.name)}`,
        "x-goog-request-reason": requestId,
      };
      try {
        return Answer.parse(await send(client, operation, request, headers, signal));
      } catch (error) {
        if (isUnauthenticated(error)) authorization.forget();
        throw error;
      }
    });
  }

  return {
    encrypt: (request, call) => ask("Encrypt", call, ANSWERS.Encrypt, wrapped(request)),
    decrypt: (request, call) => ask("Decrypt", call, ANSWERS.Decrypt, wrapped(request)),
    getCryptoKey: (name, call) => ask("GetCryptoKey", call, ANSWERS.GetCryptoKey, { name }),
  };
}

/**
 * Sends by the client's inner calls: the methods around them write whole requests and answers, plaintext and all, to
 * stderr where GOOGLE_SDK_NODE_LOGGING is set, and their promises cannot be cancelled.
 */
async function send(
  client: KeyManagementServiceClient,
  operation: GoogleOperation,
  request: object,
  headers: Readonly<Record<string, string>>,
  signal: AbortSignal,
): Promise<unknown> {
  signal.throwIfAborted();
  const method = { Encrypt: "encrypt", Decrypt: "decrypt", GetCryptoKey: "getCryptoKey" }[operation];
  const pending: InnerCall = client.innerApiCalls[method]?.(request, { retry: null, otherArgs: { headers } });
  const cancel = () => pending.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  try {
    // A call that was cancelled does not always end.
    const [answer] = await untilAborted(signal, pending, ([late]) => zeroBytesOf(late));
    return answer;
  } finally {
    signal.removeEventListener("abort", cancel);
  }
}

function zeroBytesOf(answer: unknown): void {
  if (typeof answer !== "object" || answer === null) return;
  for (const field of Object.values(answer)) if (field instanceof Uint8Array) field.fill(0);
}

interface InnerCall extends Promise<readonly unknown[]> {
  cancel(): void;
}

/** A sum is a google.protobuf.Int64Value. */
function wrapped(request: EncryptRequest | DecryptRequest): { readonly name: string } {
  const fields = Object.entries(request).map(([name, value]) => [
    name,
    typeof value === "number" ? { value } : value,
  ]);
  return { ...Object.fromEntries(fields), name: request.name };
}

async function open(
  endpoint: URL,
  transport: GoogleSdkOptions["transport"],
): Promise<KeyManagementServiceClient> {
  const [sdk, { PassThroughClient }] = await Promise.all([
    import("@google-cloud/kms"),
    import("google-auth-library"),
  ]);
  const plain = endpoint.protocol === "http:";
  const client = new sdk.KeyManagementServiceClient({
    apiEndpoint: endpoint.hostname,
    port: Number(endpoint.port) || (plain ? 80 : 443),
    // It adds nothing to a request: each brings its own authorization, by one deadline with the rest of the call.
    authClient: Object.assign(new PassThroughClient(), { fetch: sendByFetch }),
    ...(transport === "rest"
      ? { fallback: true, protocol: plain ? "http" : "https" }
      : { ...CHANNEL, sslCreds: await channelCredentials(plain) }),
  });
  await client.initialize();
  return client;
}

async function channelCredentials(plain: boolean) {
  const { credentials } = await import("@grpc/grpc-js");
  return plain ? credentials.createInsecure() : credentials.createSsl();
}

/** How the SDK sends in REST: its own way follows redirects, repeats what was refused, and reads without an end. */
async function sendByFetch(url: string, request: GoogleHttpRequest): Promise<Response> {
  return new Response(await exchange(url, request));
}
