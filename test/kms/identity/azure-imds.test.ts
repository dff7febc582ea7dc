import { expect, it, vi } from "vitest";

import { platformIdentity } from "../../../src/runtime/platform-identity.ts";
import { managedIdentityToken, startPlatformService } from "./platform-service.ts";

// In a file, so in a process, of its own: Azure's library looks once where it runs.
it("a managed identity's token is asked of the machine's metadata service where there is no other", async () => {
  const imds = await startPlatformService(managedIdentityToken("a.b.c"));
  vi.stubEnv("AZURE_POD_IDENTITY_AUTHORITY_HOST", imds.url);
  vi.stubEnv("IDENTITY_ENDPOINT", undefined);
  vi.stubEnv("IDENTITY_HEADER", undefined);
  try {
    const source = platformIdentity("azure", {});
    await expect(source("api://AzureADTokenExchange", AbortSignal.timeout(30_000))).resolves.toBe("a.b.c");
    const { path = "", headers } = imds.requests[0] ?? {};
    expect(path).toContain("/metadata/identity/oauth2/token");
    expect(new URL(path, imds.url).searchParams.get("resource")).toBe("api://AzureADTokenExchange");
    expect(headers?.["metadata"]).toBe("true");
  } finally {
    vi.unstubAllEnvs();
    await imds.close();
  }
});
