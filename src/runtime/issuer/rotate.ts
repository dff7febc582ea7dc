import { rename, rm } from "node:fs/promises";
import { join } from "node:path";

import * as z from "zod";

import { publicPart, type PublicSigningJwk } from "../../kms/identity/signing-key.ts";
import { readAtMost } from "../../wire/read-at-most.ts";
import { jwksOf } from "./documents.ts";
import { IssuerCommandError } from "./error.ts";
import {
  type IssuerPlace,
  JWKS_FILE,
  nextKeyFile,
  readKey,
  readKeyIfThere,
  readPublished,
  readWait,
  refuseKeyInside,
  waitFile,
  writeKey,
  writePublic,
  writeWait,
} from "./files.ts";
import type { IssuerDeps, IssuerReport } from "./init.ts";

export interface IssuerRotate extends IssuerPlace {
  readonly dryRun: boolean;
  /** Takes the step whatever was waited for and is published. */
  readonly force: boolean;
  /** How long clouds may believe what they have read of the issuer. */
  readonly overlapMs: number;
}

type Step = (rotate: IssuerRotate, deps: IssuerDeps, current: Current) => Promise<IssuerReport>;

interface Current {
  readonly issuer: string;
  /** What signs. */
  readonly kid: string;
  readonly published: readonly PublicSigningJwk[];
}

const field = z.string().optional().catch(undefined);
/** Whatever kind of key it is: clouds may take others than ours. */
const LiveKey = z.object({ kid: field, kty: field, n: field, e: field });
type LiveKey = z.infer<typeof LiveKey>;
const LiveJwks = z.object({ keys: z.array(LiveKey) });
type LiveJwks = z.infer<typeof LiveJwks>;

/** The most that is read of it: three keys take three thousand bytes. */
const MAX_JWKS_BYTES = 64 * 1024;

/**
 * One step of a rotation; each may be repeated, and each leaves every token valid. (1) A next key is made and published
 * beside the one that signs. (2) Once clouds know it, it signs, and the last one stays published. (3) Once no token of
 * the last one can be under way, it goes. Where the rotation stands is read from the files.
 * @throws IssuerCommandError, also when it is too early for the step.
 */
export async function rotateIssuer(rotate: IssuerRotate, deps: IssuerDeps): Promise<IssuerReport> {
  await refuseKeyInside(rotate);
  const [{ kid }, next, { issuer, keys: published }] = await Promise.all([
    readKey(rotate.key),
    readKeyIfThere(nextKeyFile(rotate)),
    readPublished(rotate),
  ]);
  const step =
    next !== undefined ? stepWith(next.kid, published) : published.length === 1 ? announce : finish;
  return step(rotate, deps, { issuer, kid, published });
}

/** A next key that is in no document yet was left by a step that broke off. */
function stepWith(nextKid: string, published: readonly PublicSigningJwk[]): Step {
  return published.some(({ kid }) => kid === nextKid) ? sign : announce;
}

const announce: Step = async (rotate, { now, newKey }, { kid, published }) => {
  const file = nextKeyFile(rotate);
  const next = (await readKeyIfThere(file)) ?? (await newKey());
  const keys = [...published, publicPart(next)];
  const time = now();
  if (!rotate.dryRun) {
    await writeKey(file, next);
    await writeWait(rotate, time);
    await writePublic(rotate.out, JWKS_FILE, jwksOf(keys));
  }
  return report(rotate, "next", kid, keys, [file, join(rotate.out, JWKS_FILE)], time, [
    `The next key is ${next.kid}. It signs nothing yet.`,
    `Publish ${rotate.out} now, the last key and the next one in it.`,
    "Then wait: clouds must have read it before a token is signed by it. After that, the same command again.",
  ]);
};

const sign: Step = async (rotate, deps, current) => {
  const { published } = current;
  const next = await readKey(nextKeyFile(rotate));
  await requireWaited(rotate, deps);
  if (!rotate.force) await requireLive(deps, current, publicPart(next));
  const time = deps.now();
  if (!rotate.dryRun) {
    await writeWait(rotate, time);
    await rename(nextKeyFile(rotate), rotate.key);
  }
  return report(rotate, "signing", next.kid, published, [rotate.key], time, [
    `The key that signs is ${next.kid}, in ${rotate.key}. The last one is no longer there, and stays published.`,
    "Give it to every broker: where keyFile names it, it is read with the next token; where it is a secret, set",
    "KEK_BROKER_SIGNING_KEY anew and deploy.",
    "Once all have it, wait, so that no token of the last key is under way. Then the same command again.",
  ]);
};

const finish: Step = async (rotate, deps, { kid, published }) => {
  const keys = published.filter((key) => key.kid === kid);
  if (keys.length === 0) throw new IssuerCommandError("the key that signs is not in the published folder");
  await requireWaited(rotate, deps);
  if (!rotate.dryRun) {
    await writePublic(rotate.out, JWKS_FILE, jwksOf(keys));
    await rm(waitFile(rotate), { force: true });
  }
  const { notBefore: _, ...done } = report(
    rotate,
    "done",
    kid,
    keys,
    [join(rotate.out, JWKS_FILE)],
    deps.now(),
    [`Only ${kid} is left. Publish ${rotate.out} once more: the rotation ends with that.`],
  );
  return done;
};

/** Where nobody knows since when, it is from now. */
async function requireWaited(rotate: IssuerRotate, { now }: IssuerDeps): Promise<void> {
  if (rotate.force) return;
  const since = await readWait(rotate);
  if (since === undefined && !rotate.dryRun) await writeWait(rotate, now());
  const notBefore = (since ?? now()) + rotate.overlapMs;
  if (now() >= notBefore) return;
  throw new IssuerCommandError(
    `it is too early for the next step: not before ${new Date(notBefore).toISOString()} (--overlap)`,
  );
}

/** Who can write where the keys are published could sign for the broker, as clouds see it. */
async function requireLive(
  { fetch }: IssuerDeps,
  { issuer, published }: Current,
  next: PublicSigningJwk,
): Promise<void> {
  const url = `${issuer}/jwks.json`;
  const live = await liveKeys(fetch, url);
  const foreign = live.filter((key) => !published.some((ours) => isSameKey(key, ours)));
  if (foreign.length > 0) {
    const kids = foreign.slice(0, 3).map(({ kid = "" }) => JSON.stringify(kid.slice(0, 128)));
    throw new IssuerCommandError(
      `${url} has a key that is not in the folder: ${kids.join(", ")}. Unless that is an older folder of yours, ` +
        "someone else can write there, and sign as the broker: take that from them first, and publish the folder again",
    );
  }
  if (live.some((key) => isSameKey(key, next))) return;
  throw new IssuerCommandError(
    `${url} does not have the next key, ${next.kid}: publish the folder, and wait again from then`,
  );
}

/** None where the answer is no key set: what clouds cannot read, they do not believe either. */
async function liveKeys(fetch: IssuerDeps["fetch"], url: string): Promise<LiveJwks["keys"]> {
  try {
    const response = await fetch(url);
    const bytes = response.status === 200 ? await readAtMost(response, MAX_JWKS_BYTES) : undefined;
    return LiveJwks.parse(JSON.parse(new TextDecoder().decode(bytes))).keys;
  } catch {
    return [];
  }
}

function isSameKey(live: LiveKey, { kid, kty, n, e }: PublicSigningJwk): boolean {
  return live.kid === kid && live.kty === kty && live.n === n && live.e === e;
}

function report(
  { dryRun, overlapMs }: IssuerRotate,
  state: IssuerReport["state"],
  kid: string,
  published: readonly PublicSigningJwk[],
  written: readonly string[],
  now: number,
  text: readonly string[],
): IssuerReport {
  const notBefore = new Date(now + overlapMs).toISOString();
  return {
    state,
    kid,
    published: published.map((key) => key.kid),
    written,
    notBefore,
    text: [
      ...(dryRun ? ["A dry run: nothing is written."] : []),
      ...text,
      ...(state === "done" ? [] : [`Not before ${notBefore}.`]),
    ],
  };
}
