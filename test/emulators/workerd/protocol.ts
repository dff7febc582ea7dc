import type { ProviderErrorCode, WrapContext } from "../../../src/kms/key-provider.ts";

/** Which provider inside the Worker; another id is one that has learnt nothing yet. */
export interface WorkerProvider {
  readonly id: string;
  readonly cloud: "aws" | "gcp" | "azure";
  readonly key: string;
}

interface Asked {
  readonly provider: WorkerProvider;
  /** 0 is a call that had ended before it began. */
  readonly ms: number;
}

/** Bytes are in base64. */
export type ProviderQuestion = Asked &
  (
    | { readonly operation: "wrap"; readonly input: string; readonly context: WrapContext }
    | {
        readonly operation: "unwrap";
        readonly input: string;
        readonly context: WrapContext;
        readonly openVersion?: string;
      }
    | { readonly operation: "currentVersion" }
  );

export interface ProviderAnswer {
  readonly output?: string;
  readonly openVersion?: string;
  readonly keyVersion?: string;
  readonly cloudRequestId?: string;
  readonly refused?: {
    readonly code: ProviderErrorCode;
    readonly message: string;
    readonly cloudRequestId?: string | undefined;
  };
  /** The caller's, as a RangeError. */
  readonly mistake?: string;
}
