// Generates a room's protobuf code again, elsewhere, and fails if the committed files differ.
import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";

const room = process.argv[2];
const bin = resolve("node_modules", ".bin");
const fresh = mkdtempSync(join(tmpdir(), "kek-broker-gen-"));
try {
  const { status } = spawnSync(
    join(bin, "buf"),
    ["generate", `src/${room}/proto`, "-o", fresh],
    // buf looks for its plugin on PATH, where only npm puts it.
    { stdio: "inherit", env: { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` } },
  );
  if (status !== 0) process.exit(1);
  const stale = readdirSync(join(fresh, "gen")).filter(
    (file) =>
      readFileSync(join(fresh, "gen", file), "utf8") !== readFileSync(join("src", room, "gen", file), "utf8"),
  );
  if (stale.length > 0) {
    console.error(`src/${room}/gen is stale: ${stale.join(", ")}; run npm run generate`);
    process.exitCode = 1;
  }
} finally {
  rmSync(fresh, { recursive: true, force: true });
}
