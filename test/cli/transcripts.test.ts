import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

import { run } from "./run.ts";

/**
 * Each file in transcripts/ is a session at a terminal: `$ ` begins a command line, `! ` a line on standard error,
 * `-- NAME --` a file that is there before the first command. A key's 43 characters are written KEY. After a change
 * that is meant, `npx vitest run --project unit test/cli -u` writes them again: read the difference.
 */
const folder = new URL("transcripts/", import.meta.url);

describe("kekctl", () => {
  const before = process.cwd();
  let dir = "";
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), "kekctl-"));
    process.chdir(dir);
  });
  afterEach(async () => {
    process.chdir(before);
    await rm(dir, { recursive: true });
  });

  it.each(readdirSync(folder))("says what is in %s", async (name) => {
    const [session = "", ...files] = (await readFile(new URL(name, folder), "utf8")).split(/^-- (.+) --\n/m);
    for (let index = 0; index < files.length; index += 2) {
      await writeFile(join(dir, files[index] ?? ""), files[index + 1] ?? "");
    }
    let replayed = /^(#.*\n|\n)*/.exec(session)?.[0] ?? "";
    for (const line of session.match(/^\$ .+$/gm) ?? []) replayed += await replay(line);
    const rest = files.map((part, index) => (index % 2 === 0 ? `-- ${part} --\n` : part)).join("");
    await expect(replayed + rest).toMatchFileSnapshot(new URL(name, folder).pathname);
  });
});

async function replay(line: string): Promise<string> {
  const [command = "", input] = line.replace("$ kekctl", "").split(" < ");
  const stdin = input === undefined ? "" : await readFile(input, "utf8");
  const { out, err, code } = await run(command.split(" ").filter(Boolean), stdin);
  const told = err.replace(/^(?=.)/gm, "! ");
  return `${line}\n${`${out}${told}`.replace(/(?<![\w-])[\w-]{43}(?![\w-])/g, "KEY")}exit ${code}\n\n`;
}
