import { readFileSync } from "node:fs";

/** This package's version: its package.json is as far from src/bin as from dist/bin. */
export function packageVersion(): string {
  try {
    const text = readFileSync(new URL("../../package.json", import.meta.url), "utf8");
    const manifest: unknown = JSON.parse(text);
    if (typeof manifest === "object" && manifest !== null && "version" in manifest)
      return String(manifest.version);
  } catch {
    // Bundled into one file, away from its package.
  }
  return "unknown";
}
