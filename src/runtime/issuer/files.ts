import { mkdir, open, readFile, realpath, rename, rm } from "node:fs/promises";
import { dirname, join, relative, resolve, sep } from "node:path";

import * as z from "zod";

import {
  parsePrivateSigningJwk,
  type PrivateSigningJwk,
  PublicSigningJwk,
} from "../../kms/identity/signing-key.ts";
import { IssuerCommandError } from "./error.ts";

/** Where an issuer is kept. */
export interface IssuerPlace {
  /** The folder that is published as it is. */
  readonly out: string;
  /** The private key; beside it, during a rotation, the next one and since when it is waited for. */
  readonly key: string;
}

const PRIVATE_MODE = 0o600;
const PUBLIC_MODE = 0o644;

export const DISCOVERY_FILE = join(".well-known", "openid-configuration");
export const JWKS_FILE = "jwks.json";

export const nextKeyFile = ({ key }: IssuerPlace): string => `${key}.next`;
export const waitFile = ({ key }: IssuerPlace): string => `${key}.rotation`;

const Published = z.object({ keys: z.array(PublicSigningJwk).min(1).max(3) });
const Discovery = z.object({ issuer: z.string() });
const Wait = z.object({ since: z.iso.datetime().transform((text) => Date.parse(text)) });

/** The key would be published with the rest. @throws IssuerCommandError. */
export async function refuseKeyInside({ out, key }: IssuerPlace): Promise<void> {
  const [folder, keyFolder] = await Promise.all([real(resolve(out)), real(dirname(resolve(key)))]);
  const way = relative(folder, keyFolder);
  if (way === ".." || way.startsWith(`..${sep}`)) return;
  throw new IssuerCommandError("--key is in --out: what is there is published, so keep the key elsewhere");
}

/** A path without links, as far as it exists. */
async function real(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    const parent = dirname(path);
    return parent === path ? path : join(await real(parent), relative(parent, path));
  }
}

/** @throws IssuerCommandError if it is not there or no key. */
export async function readKey(file: string): Promise<PrivateSigningJwk> {
  const text = await read(file);
  if (text === undefined)
    throw new IssuerCommandError(`${file} is not there: begin with kek-broker issuer init`);
  return parseKey(file, text);
}

export async function readKeyIfThere(file: string): Promise<PrivateSigningJwk | undefined> {
  const text = await read(file);
  return text === undefined ? undefined : parseKey(file, text);
}

function parseKey(file: string, text: string): PrivateSigningJwk {
  try {
    return parsePrivateSigningJwk(text);
  } catch {
    throw new IssuerCommandError(`${file} is no signing key of kek-broker issuer`);
  }
}

/** What is in the folder to be published. @throws IssuerCommandError. */
export async function readPublished({ out }: IssuerPlace): Promise<{
  readonly issuer: string;
  readonly keys: readonly PublicSigningJwk[];
}> {
  const [discovery, jwks] = await Promise.all(
    [DISCOVERY_FILE, JWKS_FILE].map(async (file) => parsed(await read(join(out, file)))),
  );
  const [about, published] = [Discovery.safeParse(discovery), Published.safeParse(jwks)];
  if (about.success && published.success) return { issuer: about.data.issuer, keys: published.data.keys };
  throw new IssuerCommandError(`${out} is no folder of kek-broker issuer`);
}

/** Since when the next step is waited for, in milliseconds since the epoch. */
export async function readWait(place: IssuerPlace): Promise<number | undefined> {
  return Wait.safeParse(parsed(await read(waitFile(place)))).data?.since;
}

export async function writeWait(place: IssuerPlace, since: number): Promise<void> {
  await write(waitFile(place), `${JSON.stringify({ since: new Date(since).toISOString() })}\n`, PRIVATE_MODE);
}

export async function writePublic(out: string, file: string, value: object): Promise<void> {
  await mkdir(dirname(join(out, file)), { recursive: true });
  await write(join(out, file), `${JSON.stringify(value, null, 2)}\n`, PUBLIC_MODE);
}

/** Readable by its owner alone from the first moment. */
export async function writeKey(file: string, key: PrivateSigningJwk): Promise<void> {
  await write(file, `${JSON.stringify(key)}\n`, PRIVATE_MODE);
}

/** Whole or not at all: a broker, or an upload, may be reading. */
async function write(file: string, text: string, mode: number): Promise<void> {
  const temporary = `${file}.${process.pid}.tmp`;
  let isOwn = false;
  try {
    const handle = await open(temporary, "wx", mode);
    isOwn = true;
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, file);
  } catch (error) {
    // What was there before is somebody's.
    if (isOwn) await rm(temporary, { force: true });
    throw cannot("written", codeOf(error) === "EEXIST" ? temporary : file, error);
  }
}

async function read(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (codeOf(error) === "ENOENT") return undefined;
    throw cannot("read", file, error);
  }
}

function parsed(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? "") as unknown;
  } catch {
    return undefined;
  }
}

function cannot(what: string, file: string, error: unknown): IssuerCommandError {
  return new IssuerCommandError(`${file} cannot be ${what} (${codeOf(error)})`);
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}
