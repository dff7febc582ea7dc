import { open, unlink } from "node:fs/promises";
import { stringify } from "yaml";

import { makeNodeKey, type NodeKeyAlgorithm } from "../config/node-key.ts";
import { Instant } from "../config/values.ts";
import { parseShape } from "../wire/issue.ts";
import { Name } from "../wire/name.ts";
import { CommandError, type Terminal } from "./terminal.ts";

export interface NodeNew {
  readonly cluster: string;
  readonly node: string;
  /** Gets the private key: a JWK. */
  readonly out: string;
  readonly alg: NodeKeyAlgorithm;
  readonly notAfter?: string | undefined;
}

/** Makes a node's key: the private half to a new file, the public one to standard output. */
export async function newNode(
  { cluster, node, out, alg, notAfter }: NodeNew,
  terminal: Terminal,
): Promise<void> {
  requireValid("--cluster", Name, cluster);
  requireValid("--node", Name, node);
  if (notAfter !== undefined) requireValid("--not-after", Instant, notAfter);
  const { privateKey, publicKey } = await makeNodeKey(alg);
  await writeNew(out, `${JSON.stringify(privateKey, null, 2)}\n`);
  const entry = { jwks: { keys: [publicKey] }, ...(notAfter === undefined ? {} : { notAfter }) };
  terminal.out(stringify({ clusters: { [cluster]: { nodes: { [node]: entry } } } }));
  terminal.err(
    `The private key is in ${out}: it stays on the node, and identity.nodeKey in the shim's configuration names it.\n` +
      "Merge the above into the broker's configuration and see what kekctl config check says of it.\n",
  );
}

function requireValid(option: string, schema: typeof Name | typeof Instant, value: string): void {
  const shape = parseShape(schema, value);
  if (!shape.ok)
    throw new CommandError(`${option}: ${shape.issues.map(({ message }) => message).join(", ")}`);
}

/** Readable by its owner alone from the first moment; what exists is never touched. */
async function writeNew(path: string, text: string): Promise<void> {
  const file = await open(path, "wx", 0o600).catch((error: unknown) => {
    throw cannotWrite(path, error);
  });
  try {
    await file.writeFile(text);
    await file.sync();
  } catch (error) {
    // Half a key would stop the next try, which leaves an existing file alone.
    await unlink(path);
    throw cannotWrite(path, error);
  } finally {
    await file.close();
  }
}

function cannotWrite(path: string, error: unknown): CommandError {
  const code = error instanceof Error && "code" in error ? String(error.code) : "unknown error";
  const message =
    code === "EEXIST" ? `${path} exists and is left alone` : `${path} cannot be written (${code})`;
  return new CommandError(message, { cause: error });
}
