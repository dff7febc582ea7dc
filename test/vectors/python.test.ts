import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";

import { installMoto } from "../emulators/install.mjs";
import { readVectors } from "./vector.ts";
import type { VectorFile } from "./vector.ts";

const READER = fileURLToPath(new URL("reader.py", import.meta.url));

const vectors = readVectors();
const folder = mkdtempSync(join(tmpdir(), "kek-broker-vectors-"));
let python = process.env["PYTHON"];

/** The reader needs a Python with `cryptography`: `PYTHON` names one, else it is the emulators' own. */
beforeAll(() => {
  python ??= installMoto().python;
  const { status, stderr, error } = spawnSync(python, ["-c", "import cryptography"], { encoding: "utf8" });
  if (status !== 0) {
    throw new Error(
      `missing: Python 3.11 or newer with the package cryptography (tried ${python}): ${error?.message ?? stderr}`,
    );
  }
}, 600_000);

afterAll(() => rmSync(folder, { recursive: true }));

function read(file: VectorFile): { readonly status: number | null; readonly lines: readonly string[] } {
  const path = join(folder, "vectors.json");
  writeFileSync(path, JSON.stringify(file));
  const { status, stdout } = spawnSync(python ?? "", [READER, path], { encoding: "utf8" });
  return { status, lines: stdout.trimEnd().split("\n") };
}

describe("a second implementation, in Python", () => {
  test("opens, seals to the same bytes and refuses with the same codes, every vector", () => {
    const count = vectors.opens.length + vectors.refused.length;
    expect(read(vectors)).toEqual({ status: 0, lines: [`${count} passed, 0 failed`] });
  });

  test("says so when an envelope does not open", () => {
    const [first] = vectors.refused;
    const opens = vectors.opens.map((vector) => ({ ...vector, envelope: first?.envelope ?? "" }));
    expect(read({ ...vectors, opens })).toMatchObject({ status: 1 });
  });

  test("says so when one opens that must not", () => {
    const [good] = vectors.opens;
    const refused = vectors.refused.map((vector) => ({ ...vector, ...good, code: vector.code }));
    const { status, lines } = read({ ...vectors, refused });
    expect(status).toBe(1);
    expect(lines.at(-1)).toBe(`${vectors.opens.length} passed, ${refused.length} failed`);
  });

  test("passes nothing when there is nothing", () => {
    expect(read({ about: "", opens: [], refused: [] }).status).toBe(1);
  });
});
