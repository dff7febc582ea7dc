import { randomUUID } from "node:crypto";

import {
  type KeyProvider,
  type ProviderCall,
  ProviderError,
  type UnwrapResult,
  type WrapContext,
  type WrapResult,
} from "../../../src/kms/key-provider.ts";
import type { ProviderAnswer, ProviderQuestion, WorkerProvider } from "./protocol.ts";

type Facts = Pick<KeyProvider, "symmetric" | "needsVersionToUnwrap" | "maxWrapBytes">;
type Question = ProviderQuestion extends infer Any
  ? Any extends unknown
    ? Omit<Any, "provider" | "ms">
    : never
  : never;

/** A signal does not say when it will abort, and the Worker has to make its own. */
const LIVES_MS = new WeakMap<AbortSignal, number>();

/** From here on signals of `AbortSignal.timeout` are known with their time; returns how to stop. */
export function rememberTimeouts(): () => void {
  const original = AbortSignal.timeout.bind(AbortSignal);
  AbortSignal.timeout = (ms) => {
    const signal = original(ms);
    LIVES_MS.set(signal, ms);
    return signal;
  };
  return () => {
    AbortSignal.timeout = original;
  };
}

/** A provider that is inside a Worker of providers-worker.ts, seen from here. */
export class ProviderInside implements KeyProvider {
  readonly symmetric: boolean;
  readonly needsVersionToUnwrap: boolean;
  readonly maxWrapBytes: number;
  readonly #url: string;
  readonly #provider: WorkerProvider;

  constructor(url: string, provider: Omit<WorkerProvider, "id">, facts: Facts) {
    this.#url = url;
    this.#provider = { ...provider, id: randomUUID() };
    this.symmetric = facts.symmetric;
    this.needsVersionToUnwrap = facts.needsVersionToUnwrap;
    this.maxWrapBytes = facts.maxWrapBytes;
  }

  async wrap(plaintext: Uint8Array, context: WrapContext, call: ProviderCall): Promise<WrapResult> {
    const { output, openVersion, ...rest } = await this.#ask(
      { operation: "wrap", input: text(plaintext), context },
      call,
    );
    return {
      ...rest,
      wrap: bytes(output),
      ...(openVersion !== undefined && { openVersion: bytes(openVersion) }),
    };
  }

  async unwrap(
    wrap: Uint8Array,
    context: WrapContext,
    call: ProviderCall,
    openVersion?: Uint8Array,
  ): Promise<UnwrapResult> {
    const { output, ...rest } = await this.#ask(
      {
        operation: "unwrap",
        input: text(wrap),
        context,
        ...(openVersion !== undefined && { openVersion: text(openVersion) }),
      },
      call,
    );
    return { ...rest, plaintext: bytes(output) };
  }

  async currentVersion(call: ProviderCall): Promise<string> {
    return (await this.#ask({ operation: "currentVersion" }, call)).output;
  }

  async #ask(
    question: Question,
    { signal }: ProviderCall,
  ): Promise<ProviderAnswer & { readonly output: string }> {
    const ms = signal.aborted ? 0 : LIVES_MS.get(signal);
    if (ms === undefined) throw new TypeError("a signal whose time is not known");
    const asked: ProviderQuestion = { ...question, provider: this.#provider, ms };
    const response = await fetch(this.#url, { method: "POST", body: JSON.stringify(asked) });
    if (!response.ok) throw new Error(await response.text());
    const answer = (await response.json()) as ProviderAnswer;
    if (answer.mistake !== undefined) throw new RangeError(answer.mistake);
    if (answer.refused !== undefined) {
      const { code, message, cloudRequestId } = answer.refused;
      throw new ProviderError(code, message, cloudRequestId === undefined ? {} : { cloudRequestId });
    }
    if (answer.output === undefined) throw new Error("the Worker answered nothing");
    return { ...answer, output: answer.output };
  }
}

function text(from: Uint8Array): string {
  return Buffer.from(from).toString("base64");
}

function bytes(from: string): Uint8Array<ArrayBuffer> {
  return new Uint8Array(Buffer.from(from, "base64"));
}
