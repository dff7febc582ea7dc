import { createHash } from "node:crypto";

/** Bytes that look random and never change: SHA-256 of the label and a counter. */
export function stream(label: string, length: number): Uint8Array<ArrayBuffer> {
  const blocks = Array.from({ length: Math.ceil(length / 32) }, (_, counter) =>
    createHash("sha256").update(`kek-broker test vector/${label}/${counter}`).digest(),
  );
  return Uint8Array.from(blocks.flatMap((block) => [...block])).slice(0, length);
}
