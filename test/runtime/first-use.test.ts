import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

import { afterEach, describe, expect, it, vi } from "vitest";

import { call } from "../conformance/http/caller.ts";
import { KEK, makeFixture } from "../conformance/http/fixture.ts";
import { type NodeBroker, startNodeBroker } from "../conformance/http/node.ts";

/** Nobody listens there: what is loaded for a call is the same whether it is answered. */
const NOWHERE = "127.0.0.1:1";
const CLOUDS = {
  AWS: {
    member: {
      awsKms: {
        keyArn: "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",
        endpoint: `http://${NOWHERE}`,
      },
    },
    sdk: "@aws-sdk/client-kms",
  },
  Google: {
    member: {
      gcpKms: {
        cryptoKey: "projects/p/locations/global/keyRings/r/cryptoKeys/k",
        endpoint: `http://${NOWHERE}`,
      },
    },
    sdk: "@google-cloud/kms",
  },
  Azure: {
    member: { azureKeyVault: { keyUrl: `https://${NOWHERE}/keys/k` } },
    sdk: "@azure/keyvault-keys",
  },
};
const ENV = { AWS_ACCESS_KEY_ID: "a-test", AWS_SECRET_ACCESS_KEY: "signs-with-anything" };
const PACKAGE = /node_modules\/((?:@[^/]+\/)?[^/]+)\//;

describe("a broker on Node", () => {
  let broker: NodeBroker | undefined;
  let folder: string | undefined;

  afterEach(async () => {
    await broker?.close();
    if (folder !== undefined) rmSync(folder, { recursive: true, force: true });
  });

  /** Starts a broker, has it wrap, and returns how to see which packages were loaded. */
  async function loadedBy(overrides: Record<string, unknown>): Promise<() => Set<string>> {
    folder = mkdtempSync(join(tmpdir(), "kek-loaded-"));
    const list = join(folder, "loaded");
    const fixture = await makeFixture(overrides);
    broker = await startNodeBroker(fixture.config, {
      ...ENV,
      LOADED_MODULES: list,
      NODE_OPTIONS: `--import=${pathToFileURL("test/runtime/loaded/register.mjs").href}`,
    });
    const target = { url: broker.url, audience: fixture.audience };
    await call(target, fixture.nodes.primary, "POST", `/v1/keks/${KEK}/wrap`, { plaintext: "AAAA" });
    return () => {
      const modules = readFileSync(list, "utf8").split("\n");
      return new Set(modules.flatMap((url) => PACKAGE.exec(url)?.[1] ?? []));
    };
  }
  const sdksIn = (loaded: ReadonlySet<string>): string[] =>
    Object.values(CLOUDS)
      .map(({ sdk }) => sdk)
      .filter((sdk) => loaded.has(sdk));

  it.each(Object.entries(CLOUDS))("loads the SDK of %s for a key there, and no other", async (_, cloud) => {
    const loaded = await loadedBy({ keks: { [KEK]: { members: { only: cloud.member } } } });
    await vi.waitFor(() => expect(sdksIn(loaded())).toContain(cloud.sdk), 10_000);
    expect(sdksIn(loaded())).toEqual([cloud.sdk]);
  });

  it("loads none, and nothing of any cloud, for a key of its own", async () => {
    const loaded = (await loadedBy({}))();
    expect(loaded).toContain("hono");
    expect([...loaded].filter((name) => /^(@aws-sdk|@azure|@google-cloud|google-|@grpc)/.test(name))).toEqual(
      [],
    );
  });
});
