import { BrokerCallError } from "../errors.ts";
import type { Log } from "../log.ts";
import type { Identity } from "./identity.ts";
import { readToken } from "./token.ts";
import { FileProblem, WatchedFile } from "./watched-file.ts";

/**
 * Sends the token that somebody else keeps fresh in a file. A file that is not there yet is no reason not to start:
 * whoever writes it may start later.
 */
export function createTokenFileIdentity(path: string, log: Log): Identity {
  const file = new WatchedFile(
    path,
    (text) => {
      const token = readToken(text);
      if (token === undefined) throw new FileProblem(`${path} does not hold a JWT`);
      return token;
    },
    log,
  );
  return {
    token: async () => {
      try {
        return file.read();
      } catch (error) {
        if (!(error instanceof FileProblem)) throw error;
        throw new BrokerCallError("NoIdentity", `identity.tokenFile: ${error.message}`, { cause: error });
      }
    },
    refused: () => {
      file.recheck();
    },
  };
}
