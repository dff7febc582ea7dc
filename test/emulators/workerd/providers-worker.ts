import { createAwsProvider } from "../../../src/kms/aws.ts";
import { createAzureProvider } from "../../../src/kms/azure.ts";
import { createGcpProvider } from "../../../src/kms/gcp.ts";
import { createGoogleRest } from "../../../src/kms/gcp-rest.ts";
import { type KeyProvider, ProviderError } from "../../../src/kms/key-provider.ts";
import type { ProviderAnswer, ProviderQuestion, WorkerProvider } from "./protocol.ts";

const expiresAt = Number.MAX_SAFE_INTEGER;

/** As `providerFor` makes them on Workers, but with credentials that are given. */
function create({ cloud, key }: WorkerProvider): KeyProvider {
  switch (cloud) {
    case "aws":
      return createAwsProvider({
        keyArn: key,
        credentials: { accessKeyId: "a-test", secretAccessKey: "signs-with-anything" },
      });
    case "gcp": {
      const accessToken = async () => ({ token: "a-token", expiresAt });
      return createGcpProvider({ cryptoKey: key, transport: createGoogleRest({ accessToken }) });
    }
    case "azure":
      return createAzureProvider({
        keyUrl: key,
        algorithm: "RSA-OAEP-256",
        bits: 2048,
        credential: { getToken: async () => ({ token: "a-token", expiresOnTimestamp: expiresAt }) },
      });
  }
}

/** They outlive a request, as they do in a broker. */
const opened = new Map<string, KeyProvider>();

async function ask({ provider, ms, ...question }: ProviderQuestion): Promise<ProviderAnswer> {
  const known = opened.get(provider.id) ?? create(provider);
  opened.set(provider.id, known);
  const call = {
    signal: ms === 0 ? AbortSignal.abort() : AbortSignal.timeout(ms),
    requestId: "request-1",
  };
  const bytes = (text = ""): Uint8Array<ArrayBuffer> => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const text = (from: Uint8Array): string => btoa(String.fromCharCode(...from));
  switch (question.operation) {
    case "wrap": {
      const { wrap, openVersion, ...rest } = await known.wrap(bytes(question.input), question.context, call);
      return { ...rest, output: text(wrap), ...(openVersion && { openVersion: text(openVersion) }) };
    }
    case "unwrap": {
      const version = question.openVersion === undefined ? undefined : bytes(question.openVersion);
      const { plaintext, ...rest } = await known.unwrap(
        bytes(question.input),
        question.context,
        call,
        version,
      );
      return { ...rest, output: text(plaintext) };
    }
    case "currentVersion":
      return { output: await known.currentVersion(call) };
  }
}

// Workers take the handler as the module's default export.
export default {
  async fetch(request: Request): Promise<Response> {
    try {
      return Response.json(await ask((await request.json()) as ProviderQuestion));
    } catch (error) {
      if (error instanceof ProviderError) {
        const { code, message, cloudRequestId } = error;
        return Response.json({ refused: { code, message, cloudRequestId } } satisfies ProviderAnswer);
      }
      if (error instanceof RangeError)
        return Response.json({ mistake: error.message } satisfies ProviderAnswer);
      return new Response(String(error), { status: 500 });
    }
  },
};
