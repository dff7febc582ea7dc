import type { GoogleKmsState } from "./google-kms-state.ts";

/** A request to the fake, from its head. */
export interface GoogleKmsCall {
  readonly transport: "grpc" | "rest";
  readonly operation: "Encrypt" | "Decrypt" | "GetCryptoKey";
  /** The resource that it names. */
  readonly name: string;
  /** Where it was sent: over gRPC as `x-goog-request-params` says. */
  readonly location: string;
  /** `Authorization`, without "Bearer". */
  readonly token: string | undefined;
  /** `X-Goog-Request-Reason`. */
  readonly reason: string | undefined;
}

/** Answers one call; over each transport. */
export type Serve = <T>(
  call: GoogleKmsCall,
  act: (state: GoogleKmsState) => T,
) => Promise<T | "silence" | "reset">;

export function bearerToken(header: string | undefined): string | undefined {
  return /^Bearer (.+)$/.exec(header ?? "")?.[1];
}
