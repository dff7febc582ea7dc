import { protos } from "@google-cloud/kms";
import * as z from "zod";

import { bearerToken, type GoogleKmsCall, type Serve } from "./google-kms-call.ts";
import { locationOf } from "./google-kms-state.ts";
import { GoogleStatus } from "./google-status.ts";
import { type LoopbackServer, type Received, type Reply, startLoopbackServer } from "./loopback-server.ts";

const { CryptoKeyPurpose } = protos.google.cloud.kms.v1.CryptoKey;
const { CryptoKeyVersionState } = protos.google.cloud.kms.v1.CryptoKeyVersion;

/** JSON's mapping of proto3 takes both alphabets of base64, padded or not. */
const Bytes = z
  .string()
  .regex(/^[A-Za-z0-9+/_-]*={0,2}$/)
  .transform((text) => new Uint8Array(Buffer.from(text, "base64url")))
  .default(() => new Uint8Array(0));
const Int64 = z
  .union([z.int(), z.string().regex(/^-?[0-9]+$/)])
  .transform(Number)
  .optional();
const Aad = { additionalAuthenticatedData: Bytes, additionalAuthenticatedDataCrc32c: Int64 };
const EncryptBody = z.strictObject({ plaintext: Bytes, plaintextCrc32c: Int64, ...Aad });
const DecryptBody = z.strictObject({ ciphertext: Bytes, ciphertextCrc32c: Int64, ...Aad });

/** Google's mapping of the service to HTTP and JSON, as service.proto's google.api.http has it. */
export function startGoogleKmsRest(serve: Serve): Promise<LoopbackServer> {
  return startLoopbackServer(async (request) => {
    try {
      const answer = await route(request, serve);
      return typeof answer === "string" ? answer : json(200, answer);
    } catch (error) {
      if (error instanceof GoogleStatus) return jsonOf(error);
      throw error;
    }
  });
}

async function route(request: Received, serve: Serve): Promise<object | "silence" | "reset"> {
  const { pathname, searchParams } = new URL(request.path, "http://fake");
  const [, name = "", verb] =
    /^\/v1\/(projects\/[^:]+(?::[^/:]+\/[^:]+)?)(?::([a-zA-Z]+))?$/.exec(decodeURI(pathname)) ?? [];
  const called = (operation: GoogleKmsCall["operation"]): GoogleKmsCall => ({
    transport: "rest",
    operation,
    name,
    location: locationOf(name) ?? "global",
    token: bearerToken(request.headers.authorization),
    reason: headerOf(request, "x-goog-request-reason"),
  });
  if (request.method === "GET" && name !== "" && verb === undefined) {
    const numbers = searchParams.get("$alt") === "json;enum-encoding=int";
    const key = await serve(called("GetCryptoKey"), (state) => state.getCryptoKey(name));
    return typeof key === "string" ? key : cryptoKey(key, numbers);
  }
  if (request.method === "POST" && verb === "encrypt") {
    const answer = await serve(called("Encrypt"), (state) =>
      state.encrypt({ name, ...parse(EncryptBody, request) }),
    );
    return typeof answer === "string" ? answer : message({ ...answer, protectionLevel: "SOFTWARE" });
  }
  if (request.method === "POST" && verb === "decrypt") {
    const answer = await serve(called("Decrypt"), (state) =>
      state.decrypt({ name, ...parse(DecryptBody, request) }),
    );
    return typeof answer === "string" ? answer : message({ ...answer, protectionLevel: "SOFTWARE" });
  }
  throw new GoogleStatus("NOT_FOUND", "Method not found.");
}

function parse<T>(Body: z.ZodType<T>, { body }: Received): T {
  const result = Body.safeParse(parseJson(body.toString()));
  if (result.success) return result.data;
  throw new GoogleStatus("INVALID_ARGUMENT", "Invalid JSON payload received.");
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function cryptoKey(
  key: {
    name: string;
    purpose: keyof typeof CryptoKeyPurpose;
    primary: { name: string; state: keyof typeof CryptoKeyVersionState };
  },
  numbers: boolean,
) {
  const { name, state } = key.primary;
  return {
    ...key,
    purpose: numbers ? CryptoKeyPurpose[key.purpose] : key.purpose,
    primary: { name, state: numbers ? CryptoKeyVersionState[state] : state },
  };
}

/** proto3 as JSON: bytes in base64, int64 as text, and nothing for what is empty or false. */
function message(fields: Readonly<Record<string, string | number | boolean | Uint8Array>>): object {
  return Object.fromEntries(
    Object.entries(fields).flatMap(([name, value]) => {
      if (value === false) return [];
      if (typeof value === "number") return [[name, String(value)]];
      if (!(value instanceof Uint8Array)) return [[name, value]];
      return value.length === 0 ? [] : [[name, Buffer.from(value).toString("base64")]];
    }),
  );
}

function headerOf({ headers }: Received, name: string): string | undefined {
  const value = headers[name];
  return typeof value === "string" ? value : undefined;
}

export function jsonOf(error: GoogleStatus): Reply {
  return json(error.http, error.toJson());
}

function json(status: number, body: object): Reply {
  return {
    status,
    headers: { "content-type": "application/json; charset=UTF-8" },
    body: JSON.stringify(body, undefined, 2),
  };
}
