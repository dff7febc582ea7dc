// Google Cloud KMS and Azure Key Vault on the wire, with real keys, by the fakes of test/emulators: bundled, since Node 20
// reads no TypeScript, and run by `node … LATENCY_MS CA_FILE`. Prints where they are.
import { writeFileSync } from "node:fs";
import { createServer } from "node:http";

import { startFakeKeyVault } from "../emulators/azure-key-vault-server.ts";
import { startGoogleKmsFake } from "../emulators/google-kms-fake.ts";

const slowMs = Number(process.argv[2]);
const google = await startGoogleKmsFake();
const cryptoKey = google.admin.createKey();
google.faults.last({ slowMs });

const azure = await startFakeKeyVault();
const keyUrl = azure.vault.createKey();
const token = azure.vault.issueToken();
azure.vault.behave({ slowMs });
writeFileSync(process.argv[3], azure.ca);

/** A managed identity, as Azure's App Service answers for one. */
const identity = createServer((_request, response) => {
  const expires = Math.floor(Date.now() / 1000) + 86_400;
  const answer = { access_token: token, expires_on: String(expires), token_type: "Bearer", resource: "x" };
  response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(answer));
});
identity.listen(0, "127.0.0.1", () => {
  const identityUrl = `http://127.0.0.1:${identity.address().port}/token`;
  const places = { google: { endpoint: google.grpcUrl, cryptoKey }, azure: { keyUrl, token, identityUrl } };
  console.log(JSON.stringify({ places }));
});
process.once("SIGTERM", () => process.exit(0));
