import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";

import { DocumentError } from "../wire/document.ts";
import type { Issue } from "../wire/document.ts";
import { readCa } from "./ca.ts";
import { parseShimConfig, socketPathOf } from "./config.ts";
import type { ShimConfig } from "./config.ts";
import { StartError, systemCodeOf } from "./errors.ts";
import { createIdentity } from "./identity/create.ts";

/** Reads the shim's file. @throws StartError `ConfigInvalid` naming all that is wrong in it */
export function loadShimConfig(path: string): ShimConfig {
  let text;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new StartError("ConfigInvalid", `${path} cannot be read (${systemCodeOf(error)})`, {
      cause: error,
    });
  }
  try {
    return parseShimConfig(text);
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    throw new StartError("ConfigInvalid", `${path} is refused:\n${error.message.replace(/^/gm, "  ")}`, {
      cause: error,
    });
  }
}

/**
 * What would keep a shim with this configuration from its work, as far as this machine alone can tell: no broker is
 * asked.
 */
export function findProblems(config: ShimConfig): Issue[] {
  return [
    ...problem("identity", () => {
      checkIdentity(config);
    }),
    ...problem("ca", () => {
      readCa(config.ca);
    }),
    ...problem("listen", () => {
      checkFolder(dirname(socketPathOf(config.listen)));
    }),
  ];
}

function problem(path: string, check: () => void): Issue[] {
  try {
    check();
    return [];
  } catch (error) {
    return [
      { path, message: error instanceof StartError ? error.message : `failed (${systemCodeOf(error)})` },
    ];
  }
}

function checkIdentity(config: ShimConfig): void {
  createIdentity(config, () => undefined);
  const { tokenFile, exec } = config.identity;
  if (tokenFile !== undefined) requireAccess(tokenFile, constants.R_OK, "cannot be read");
  const program = exec?.[0];
  if (program?.startsWith("/") === true) requireAccess(program, constants.X_OK, "cannot be run");
}

function checkFolder(folder: string): void {
  const stats = statSync(folder, { throwIfNoEntry: false });
  if (stats?.isDirectory() !== true) {
    throw new StartError(
      "SocketUnusable",
      `the folder ${folder} does not exist: make it, readable by its owner alone`,
    );
  }
  requireAccess(folder, constants.W_OK, "cannot be written to");
}

function requireAccess(path: string, mode: number, what: string): void {
  try {
    accessSync(path, mode);
  } catch (error) {
    throw new StartError("ConfigInvalid", `${path} ${what} (${systemCodeOf(error)})`, { cause: error });
  }
}
