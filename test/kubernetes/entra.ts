import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

import { createIdentityEntraFake } from "../emulators/identity-entra-fake.ts";
import { type LoopbackServer, type Received, startLoopbackServer } from "../emulators/loopback-server.ts";
import type { IdentityInput } from "./cloud-key.ts";
import { run } from "./run.ts";
import type { Sandbox } from "./sandbox.ts";

const BROKER = fileURLToPath(new URL("../../dist/bin/kek-broker.js", import.meta.url));
const URL_OF_ISSUER = "https://issuer.kek.example.com";
const SUBJECT = "kek-broker";

/** Entra as our own fake plays it: one application, which whoever has the broker's issuer's tokens may be. */
export interface Entra extends LoopbackServer {
  /** As a member has it. */
  readonly federation: { readonly tenantId: string; readonly clientId: string; readonly authority: string };
  /** As the broker's configuration has it. */
  readonly identity: IdentityInput;
  /** Whether a vault takes this token. */
  readonly isForVaults: (token: string) => boolean;
}

/** Makes the broker an issuer as `kek-broker issuer init` does, and an Entra that trusts it. Once in a sandbox. */
export async function startEntra(sandbox: Sandbox): Promise<Entra> {
  const [published, keyFile] = [sandbox.path("issuer"), sandbox.path("issuer.key.json")];
  const init = ["issuer", "init", "--url", URL_OF_ISSUER, "--out", published, "--key", keyFile];
  const { code, stderr } = await run(process.execPath, [BROKER, ...init]);
  if (code !== 0) throw new Error(`kek-broker issuer init ended with ${code}: ${stderr}`);
  const [tenantId, clientId] = [randomUUID(), randomUUID()];
  const trusted = {
    issuer: URL_OF_ISSUER,
    fetch: async (url: string) => new Response(await readFile(`${published}${new URL(url).pathname}`)),
  };
  const credential = { trusted, subject: SUBJECT, audience: "api://AzureADTokenExchange" };
  const fake = createIdentityEntraFake({ tenantId, clientId, credential, now: Date.now });
  const server = await startLoopbackServer(async (received) => {
    const answer = await fake.handle(requestOf(received));
    return {
      status: answer.status,
      headers: Object.fromEntries(answer.headers),
      body: await answer.text(),
    };
  });
  return {
    ...server,
    federation: { tenantId, clientId, authority: server.url },
    identity: { issuer: { url: URL_OF_ISSUER, subject: SUBJECT, keyFile } },
    isForVaults: (token) => fake.tokenOf(token)?.resource === "https://vault.azure.net",
  };
}

function requestOf({ method, path, body }: Received): Request {
  return new Request(new URL(path, "http://127.0.0.1"), { method, body: new Uint8Array(body) });
}
