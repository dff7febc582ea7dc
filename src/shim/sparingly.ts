import { setFlagsFromString } from "node:v8";

const FLAGS = ["optimize-for-size", "max-lazy"];

/**
 * Loads modules while V8 compiles of them no more than what runs, and so spares a shim about a tenth of its resident memory.
 * Only while they load: left on, the flags cost cached Decrypts a fifth of their throughput.
 */
export async function loadSparingly<Modules>(load: () => Promise<Modules>): Promise<Modules> {
  for (const flag of FLAGS) setFlagsFromString(`--${flag}`);
  try {
    return await load();
  } finally {
    for (const flag of FLAGS) setFlagsFromString(`--no-${flag}`);
  }
}
