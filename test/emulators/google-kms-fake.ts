import { GoogleFaults } from "./google-faults.ts";
import type { GoogleKmsCall, Serve } from "./google-kms-call.ts";
import { startGoogleKmsGrpc } from "./google-kms-grpc.ts";
import { checkLocation, GoogleKmsState } from "./google-kms-state.ts";
import { startGoogleKmsRest } from "./google-kms-rest.ts";
import { GoogleStatus } from "./google-status.ts";

export interface GoogleKmsFake {
  /** `http://127.0.0.1:PORT`, for gRPC without TLS. */
  readonly grpcUrl: string;
  readonly restUrl: string;
  /** The custodian's side: createKey, rotate, setState, makePrimary, forbid, permit, grantedOn. */
  readonly admin: GoogleKmsState;
  /** inject and last. */
  readonly faults: GoogleFaults;
  /** The last thousand, oldest first. */
  readonly calls: readonly GoogleKmsCall[];
  /** Ends every connection, answered or not. */
  close(): Promise<void>;
}

export interface GoogleKmsFakeOptions {
  /** Who may call; without it all may, credentials or not. */
  readonly accepts?: (token: string | undefined) => boolean;
}

const REMEMBERED_CALLS = 1000;

/**
 * A fake Cloud KMS of our own, over gRPC and over REST, with one state behind both. It serves Encrypt, Decrypt and
 * GetCryptoKey, strict where Google's documentation is; what a custodian does is done in process, by `admin`.
 * It knows nothing of vitest.
 */
export async function startGoogleKmsFake(options: GoogleKmsFakeOptions = {}): Promise<GoogleKmsFake> {
  const admin = new GoogleKmsState();
  const faults = new GoogleFaults();
  const calls: GoogleKmsCall[] = [];
  const serve: Serve = (call, act) => {
    calls.push(call);
    if (calls.length > REMEMBERED_CALLS) calls.shift();
    return faults.meet(() => {
      if (options.accepts !== undefined && !options.accepts(call.token)) throw unauthenticated(call.token);
      checkLocation(call.name, call.location);
      return act(admin);
    });
  };
  const [grpc, rest] = await Promise.all([startGoogleKmsGrpc(serve), startGoogleKmsRest(serve)]);
  const close = async () => {
    await Promise.all([grpc.close(), rest.close()]);
  };
  return { grpcUrl: grpc.url, restUrl: rest.url, admin, faults, calls, close };
}

function unauthenticated(token: string | undefined): GoogleStatus {
  return new GoogleStatus(
    "UNAUTHENTICATED",
    "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential.",
    {
      reason: token === undefined ? "CREDENTIALS_MISSING" : "ACCESS_TOKEN_EXPIRED",
      domain: "googleapis.com",
      metadata: { service: "cloudkms.googleapis.com" },
    },
  );
}
