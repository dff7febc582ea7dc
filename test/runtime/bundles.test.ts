import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";

import type { OutputChunk } from "rolldown";
import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { bundle, packLambda } from "../../scripts/bundle.mjs";
import { bundleOfWorker } from "../conformance/http/workerd.ts";

const KIB = 1024;

/** Packages that a path leads through, by name. */
function packagesIn(paths: readonly string[]): Set<string> {
  const names = paths.flatMap((path) => /.*node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(path)?.[1] ?? []);
  return new Set(names);
}

describe("the Worker's bundle", () => {
  let code: Buffer;
  let packages: Set<string>;

  beforeAll(async () => {
    const { script, metafile } = await bundleOfWorker();
    code = readFileSync(script);
    const { inputs } = JSON.parse(readFileSync(metafile, "utf8")) as { inputs: Record<string, unknown> };
    packages = packagesIn(Object.keys(inputs));
  });

  it("is a fraction of what the free plan takes, 3 MB compressed", () => {
    const size = { raw: Math.round(code.length / KIB), gzip: Math.round(gzipSync(code).length / KIB) };
    console.log(`Worker: ${size.raw} KiB, ${size.gzip} KiB gzip`);
    expect(size.gzip).toBeLessThan(400);
    // A bundle that lost a cloud would be small too.
    expect(size.gzip).toBeGreaterThan(200);
  });

  it.each([
    "@google-cloud/kms",
    "google-gax",
    "google-auth-library",
    "@grpc/grpc-js",
    "protobufjs",
    "@azure/identity",
    "@azure/msal-node",
    "undici",
    "prom-client",
    "@hono/node-server",
  ])("never reaches %s", (name) => {
    expect(packages).not.toContain(name);
  });

  it.each(["@aws-sdk/client-kms", "@azure/keyvault-keys", "hono", "jose"])("holds %s", (name) => {
    expect(packages).toContain(name);
  });
});

describe("the bundles for Node", () => {
  const folder = mkdtempSync(join(tmpdir(), "kek-bundle-"));
  const chunks: Record<string, OutputChunk[]> = {};

  beforeAll(async () => {
    for (const target of ["node", "lambda"] as const) {
      chunks[target] = await bundle(target, join(folder, target));
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  /** What is read before the first request: the entry and all it imports at once. */
  function readAtStart(target: string, entry: string): OutputChunk[] {
    const byName = new Map((chunks[target] ?? []).map((chunk) => [chunk.fileName, chunk]));
    const read = new Set<OutputChunk>();
    const follow = (name: string): void => {
      const chunk = byName.get(name);
      if (chunk === undefined || read.has(chunk)) return;
      read.add(chunk);
      for (const imported of chunk.imports) follow(imported);
    };
    follow(entry);
    return [...read];
  }
  const bytesOf = (read: readonly OutputChunk[]): number =>
    read.reduce((sum, { code }) => sum + Buffer.byteLength(code), 0);

  it("have one file to begin with, and read no cloud's SDK at the start of a function", () => {
    const read = readAtStart("lambda", "lambda.mjs");
    const packages = packagesIn(read.flatMap(({ moduleIds }) => moduleIds));
    const size = {
      start: Math.round(bytesOf(read) / KIB),
      all: Math.round(bytesOf(chunks["lambda"] ?? []) / KIB),
    };
    console.log(`Lambda: ${size.start} KiB of ${size.all} KiB are read at the start`);
    for (const sdk of [
      "@aws-sdk/client-kms",
      "@google-cloud/kms",
      "@azure/keyvault-keys",
      "@azure/identity",
    ]) {
      expect(packages, sdk).not.toContain(sdk);
    }
    expect(size.start).toBeLessThan(1200);
  });

  it("read no cloud's SDK at the start of the broker either", () => {
    const packages = packagesIn(
      readAtStart("node", "bin/kek-broker.js").flatMap(({ moduleIds }) => moduleIds),
    );
    expect([...packages].filter((name) => /^(@aws-sdk|@azure|@google-cloud|google-)/.test(name))).toEqual([]);
  });

  it("pack a function into the same bytes each time, far below what Lambda takes", async () => {
    const archive = packLambda(join(folder, "lambda"));
    console.log(`Lambda: ${Math.round(archive.length / KIB)} KiB as a ZIP`);
    expect(archive.length).toBeLessThan(2 * KIB * KIB);
    await bundle("lambda", join(folder, "again"));
    expect(packLambda(join(folder, "again")).equals(archive)).toBe(true);
  });
});
