import { stat } from "node:fs/promises";
import { join } from "node:path";

import { publicPart, type PrivateSigningJwk } from "../../kms/identity/signing-key.ts";
import { discoveryOf, jwksOf } from "./documents.ts";
import { IssuerCommandError } from "./error.ts";
import {
  DISCOVERY_FILE,
  type IssuerPlace,
  JWKS_FILE,
  refuseKeyInside,
  writeKey,
  writePublic,
} from "./files.ts";
import { trustOf } from "./trust.ts";

export interface IssuerInit extends IssuerPlace {
  readonly url: string;
  readonly subject: string;
  readonly dryRun: boolean;
}

/** What the commands do not decide by themselves. */
export interface IssuerDeps {
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Sees what clouds see. */
  readonly fetch: (url: string) => Promise<Response>;
  readonly newKey: () => Promise<PrivateSigningJwk>;
}

/** What was done, for a person or, as it is, for a program. */
export interface IssuerReport {
  readonly state: "new" | "next" | "signing" | "done";
  /** The key that signs. */
  readonly kid: string;
  /** Keys to be published, by `kid`. */
  readonly published: readonly string[];
  /** Files that were, or with a dry run would be, written. */
  readonly written: readonly string[];
  /** When the next step may be taken: RFC 3339. */
  readonly notBefore?: string;
  /** For a person. */
  readonly text: readonly string[];
}

/**
 * Makes an issuer: a key, and the two documents to be published. Touches nothing that is there.
 * @throws IssuerCommandError.
 */
export async function initIssuer(
  init: IssuerInit,
  { newKey }: Pick<IssuerDeps, "newKey">,
): Promise<IssuerReport> {
  const { out, key: keyFile, url, subject, dryRun } = init;
  await refuseKeyInside(init);
  const files = [keyFile, join(out, DISCOVERY_FILE), join(out, JWKS_FILE)];
  for (const file of files) {
    if (await exists(file)) throw new IssuerCommandError(`${file} exists and is left alone`);
  }
  const key = await newKey();
  if (!dryRun) {
    await writeKey(keyFile, key);
    await writePublic(out, JWKS_FILE, jwksOf([publicPart(key)]));
    await writePublic(out, DISCOVERY_FILE, discoveryOf(url));
  }
  return {
    state: "new",
    kid: key.kid,
    published: [key.kid],
    written: files,
    text: textOf(init, url, subject),
  };
}

function textOf({ out, key, dryRun }: IssuerInit, url: string, subject: string): string[] {
  return [
    dryRun ? "Would be written:" : "Written:",
    `  ${key}   the private key: give it to the broker as identity.issuer.keyFile, or as the`,
    "      secret KEK_BROKER_SIGNING_KEY, and to nobody else",
    `  ${join(out, DISCOVERY_FILE)}`,
    `  ${join(out, JWKS_FILE)}`,
    "",
    `Publish ${out} so that this answers over https, as application/json and without a redirect:`,
    `  ${url}/.well-known/openid-configuration`,
    "Not on anything that needs the broker, or a cluster that it serves, to start.",
    "",
    ...trustOf({ url, subject }),
  ];
}

async function exists(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    () => false,
  );
}
