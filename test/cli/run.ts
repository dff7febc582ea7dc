import { kekctl } from "../../src/cli/kekctl.ts";

export interface Ended {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** Runs kekctl in this process. */
export async function run(args: readonly string[], stdin = ""): Promise<Ended> {
  let [out, err] = ["", ""];
  const code = await kekctl(args, "0.0.0", {
    out: (text) => (out += text),
    err: (text) => (err += text),
    stdin: bytesOf(stdin),
  });
  return { code, out, err };
}

async function* bytesOf(text: string): AsyncGenerator<Uint8Array> {
  yield new TextEncoder().encode(text);
}
