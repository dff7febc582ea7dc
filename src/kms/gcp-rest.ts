import * as z from "zod";

import { decodeBase64, encodeBase64 } from "../wire/base64.ts";
import type { AccessTokenSource } from "./access-token.ts";
import { asProviderErrors, type GoogleOperation } from "./gcp-error.ts";
import { exchange, GOOGLE_ENDPOINT, takeJson } from "./gcp-http.ts";
import { type GoogleKms, googleAnswers } from "./google-kms.ts";
import type { ProviderCall } from "./key-provider.ts";

export interface GoogleRestOptions {
  /** Another endpoint than Google's own, without a path. */
  readonly endpoint?: string | undefined;
  readonly accessToken: AccessTokenSource;
}

const Base64 = z.string().transform((text, context) => {
  const bytes = decodeBase64(text);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: "custom", message: "not base64" });
  return z.NEVER;
});

// An empty field is left out of Google's JSON.
const ANSWERS = googleAnswers(Base64.default(() => new Uint8Array(0)));

/** Google's JSON by fetch, for runtimes where the SDK cannot run. */
export function createGoogleRest({ endpoint = GOOGLE_ENDPOINT, accessToken }: GoogleRestOptions): GoogleKms {
  async function ask<Answer>(
    operation: GoogleOperation,
    call: ProviderCall,
    Answer: z.ZodType<Answer>,
    path: string,
    body?: object,
  ): Promise<Answer> {
    return asProviderErrors(operation, call, async () => {
      const { signal, requestId } = call;
      const { token } = await accessToken(signal);
      const headers = new Headers({ authorization: `Bearer ${token}`, "x-goog-request-reason": requestId });
      if (body !== undefined) headers.set("content-type", "application/json");
      const bytes = await exchange(`${new URL(endpoint).origin}/v1/${encodeURI(path)}`, {
        method: body === undefined ? "GET" : "POST",
        headers,
        signal,
        ...(body !== undefined && { body: JSON.stringify(body) }),
      });
      return Answer.parse(takeJson(bytes));
    });
  }

  return {
    encrypt: ({ name, ...request }, call) =>
      ask("Encrypt", call, ANSWERS.Encrypt, `${name}:encrypt`, asJson(request)),
    decrypt: ({ name, ...request }, call) =>
      ask("Decrypt", call, ANSWERS.Decrypt, `${name}:decrypt`, asJson(request)),
    getCryptoKey: (name, call) => ask("GetCryptoKey", call, ANSWERS.GetCryptoKey, name),
  };
}

/** Bytes in base64, int64 as text. */
function asJson(request: Readonly<Record<string, Uint8Array | number>>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(request).map(([name, value]) => [
      name,
      typeof value === "number" ? String(value) : encodeBase64(value),
    ]),
  );
}
