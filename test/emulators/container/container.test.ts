import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it } from "vitest";

import { describeBroker } from "../../conformance/http/suite.ts";
import { freePort } from "../../kubernetes/ports.ts";
import { useSandbox } from "../../kubernetes/sandbox.ts";
import { type LoopbackClouds, startLoopbackClouds } from "../clouds/emulated-clouds.ts";
import { installHadolint } from "../install.mjs";
import { filesIn, type Image, runDockerfile } from "./dockerfile.ts";

const DOCKERFILE = "infra/container/Dockerfile";
const sandbox = useSandbox();
let image: Image;
let clouds: LoopbackClouds;

beforeAll(async () => {
  image = runDockerfile(DOCKERFILE, ".", sandbox.path("image"));
  clouds = await startLoopbackClouds();
});
afterAll(() => clouds?.close());

describe("the container's image, by its Dockerfile's steps without an engine", () => {
  it("is nothing that hadolint finds fault with", () => {
    const { status, stdout } = spawnSync(installHadolint().program, [DOCKERFILE], { encoding: "utf8" });
    expect([status, stdout]).toEqual([0, ""]);
  });

  it("holds the bundle, its licence, and no more", () => {
    const files = filesIn(image.root);
    expect(
      files.filter((name) => !/^opt\/kek-broker\/(dist\/.+\.js|package\.json|LICENSE)$/.test(name)),
    ).toEqual([]);
    expect(files).toContain("opt/kek-broker/dist/bin/kek-broker.js");
    const bytes = files.reduce((sum, name) => sum + statSync(join(image.root, name)).size, 0);
    expect(bytes).toBeLessThan(8 * 1024 * 1024);
  });

  it("runs as a user by number, so that a cluster can see that it is not root", () => {
    expect(image.user).toMatch(/^[1-9][0-9]*:[1-9][0-9]*$/);
  });
});

describeBroker(
  "a container's bundle, as another user, nothing of it writable, with three clouds (our fakes)",
  async ({ config }) => {
    const [port, privatePort] = [await freePort(), await freePort()];
    const folder = join(image.root, "etc", "kek-broker");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "vault.crt"), clouds.ca);
    const addresses = { listen: `0.0.0.0:${port}`, tlsInFront: true, private: `127.0.0.1:${privatePort}` };
    writeFileSync(
      join(folder, "broker.yaml"),
      JSON.stringify({ ...(JSON.parse(config) as object), ...addresses, identity: clouds.identity }),
    );
    makeReadOnly(image.root);
    // The folder of the sandbox is its owner's alone; what is below is readable to all.
    chmodSync(sandbox.dir, 0o755);
    const inImage = (path: string): string => (path.startsWith("/") ? join(image.root, path) : path);
    const [, ...args] = [...image.entrypoint, ...image.command].map(inImage);
    const [user = "", group = ""] = image.user.split(":");
    const asUser = ["--reuid", user, "--regid", group, "--clear-groups", "--no-new-privs", process.execPath];
    // Only root may become another user; without it nothing is writable either, by the modes.
    const [file = "", ...first] = process.getuid?.() === 0 ? ["setpriv", ...asUser] : [process.execPath];
    const daemon = await sandbox.run({
      name: "container",
      file,
      args: [...first, ...args],
      env: {
        ...image.env,
        HOME: "/nonexistent",
        KEK_BROKER_SIGNING_KEY: clouds.signingKey,
        NODE_EXTRA_CA_CERTS: join(folder, "vault.crt"),
      },
    });
    const url = `http://127.0.0.1:${port}`;
    const isUp = async (): Promise<true | undefined> =>
      (await fetch(`${url}/livez`)).status === 200 ? true : undefined;
    await daemon.until("the container answers", isUp, { withinMs: 30_000 });
    return { url, close: async () => void (await daemon.stop()) };
  },
  { members: () => clouds.createMembers(), names: ["aws", "gcp", "az"], maxBytes: 800, callers: 8 },
);

/** Also for its owner: who runs the test may not be root. */
function makeReadOnly(folder: string): void {
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) makeReadOnly(path);
    else chmodSync(path, 0o444);
  }
  chmodSync(folder, 0o555);
}
