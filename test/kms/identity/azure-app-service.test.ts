import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";

import { platformIdentity } from "../../../src/runtime/platform-identity.ts";
import { nodePlatform } from "../../../src/runtime/platform-node.ts";
import {
  failureOf,
  json,
  managedIdentityToken,
  type PlatformService,
  startPlatformService,
} from "./platform-service.ts";

const CLIENT = "89abcdef-0123-4567-89ab-cdef01234567";

/** One for all tests: Azure's library looks once in a process where it runs. */
let endpoint: PlatformService;

beforeAll(async () => {
  endpoint = await startPlatformService();
  vi.stubEnv("IDENTITY_ENDPOINT", `${endpoint.url}/msi/token`);
  vi.stubEnv("IDENTITY_HEADER", "a-header");
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await endpoint?.close();
});

const signal = () => AbortSignal.timeout(30_000);

function lastAsked() {
  const request = endpoint.requests.at(-1);
  const { searchParams } = new URL(request?.path ?? "", endpoint.url);
  return { ...Object.fromEntries(searchParams), header: request?.headers["x-identity-header"] };
}

describe("a managed identity's token, on Container Apps and App Service", () => {
  it("is asked for the audience, for the identity that is named", async () => {
    endpoint.script(managedIdentityToken("a.b.c"));
    const source = platformIdentity("azure", { AZURE_CLIENT_ID: CLIENT });
    await expect(source("api://AzureADTokenExchange", signal())).resolves.toBe("a.b.c");
    expect(lastAsked()).toMatchObject({
      resource: "api://AzureADTokenExchange",
      client_id: CLIENT,
      header: "a-header",
    });
  });

  it("is not waited for beyond the deadline", async () => {
    endpoint.script("silence");
    const failure = await failureOf(platformIdentity("azure", {})("api://slow", AbortSignal.timeout(200)));
    expect(failure).toMatchObject({ name: "ProviderError", code: "Timeout" });
  });

  it("is none by a code, and without what the endpoint says", async () => {
    endpoint.script(json({ statusCode: 400, message: "No User Assigned identity secret" }, 400));
    const failure = await failureOf(platformIdentity("azure", {})("api://unknown", signal()));
    expect(failure).toMatchObject({ name: "ProviderError", code: "AccessDenied" });
    expect(String(failure)).not.toContain("secret");
  });
});

describe("Azure's default credentials on Node", () => {
  it("are a managed identity where there is one, asked once for many", async () => {
    endpoint.script(managedIdentityToken("a-token"));
    const before = endpoint.requests.length;
    const credential = nodePlatform({}).azureCredential();
    const tokens = await Promise.all(
      [1, 2, 3].map(() => credential.getToken("https://vault.azure.net/.default")),
    );
    expect(tokens.map((token) => token?.token)).toEqual(["a-token", "a-token", "a-token"]);
    expect(endpoint.requests.length - before).toBe(1);
    expect(lastAsked()).toMatchObject({ resource: "https://vault.azure.net" });
  });

  it("are none of a developer's tools, which are not even asked", async () => {
    const tools = await mkdtemp(join(tmpdir(), "kek-tools-"));
    try {
      for (const name of ["az", "azd", "pwsh", "powershell"]) {
        await writeFile(join(tools, name), `#!/bin/sh\n: > "${tools}/asked-${name}"\n`, { mode: 0o755 });
      }
      vi.stubEnv("PATH", `${tools}:${process.env["PATH"] ?? ""}`);
      endpoint.script(json({ statusCode: 400, message: "none" }, 400));
      const failure = await failureOf(
        nodePlatform({}).azureCredential().getToken("https://managedhsm.azure.net/.default"),
      );
      expect(failure).toMatchObject({ name: "ProviderError", code: "AccessDenied" });
      expect((await readdir(tools)).filter((name) => name.startsWith("asked"))).toEqual([]);
    } finally {
      await rm(tools, { recursive: true });
    }
  });
});
