import type { OutputChunk } from "rolldown";

/** Writes one target's bundle into an empty folder, and returns its files. */
export function bundle(target: "node" | "lambda", folder: string): Promise<OutputChunk[]>;
/** A function's package of what is in the folder of its bundle. */
export function packLambda(folder: string): Buffer;
