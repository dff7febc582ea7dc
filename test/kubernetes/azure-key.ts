import { writeFileSync } from "node:fs";

import { type HttpsVault, startFakeKeyVault } from "../emulators/azure-key-vault-server.ts";
import type { CloudFault, CloudKey, IdentityInput, MemberInput } from "./cloud-key.ts";
import { type FakeEntra, startFakeEntra } from "./fake-entra.ts";
import { NetworkPath } from "./network-fault.ts";
import type { Sandbox } from "./sandbox.ts";

/** An RSA key in Azure Key Vault as our own fake plays it, reached with a token that Entra's fake gives for the broker's own. */
export class AzureKey implements CloudKey {
  readonly member: MemberInput;
  readonly env: Readonly<Record<string, string>>;
  readonly identity: IdentityInput;
  readonly #keyUrl: string;
  readonly #fake: HttpsVault;
  readonly #entra: FakeEntra;
  readonly #path: NetworkPath;

  private constructor(
    sandbox: Sandbox,
    bits: 2048 | 3072,
    fake: HttpsVault,
    entra: FakeEntra,
    path: NetworkPath,
  ) {
    this.#fake = fake;
    this.#entra = entra;
    this.#path = path;
    this.#keyUrl = fake.vault.createKey({ kty: "RSA", bits });
    const keyUrl = `https://${path.host}${new URL(this.#keyUrl).pathname}`;
    this.member = { azureKeyVault: { keyUrl, bits, federation: entra.federation } };
    const ca = sandbox.path("azure.ca.pem");
    writeFileSync(ca, fake.ca);
    this.env = { NODE_EXTRA_CA_CERTS: ca };
    const keyFile = sandbox.path("issuer.key.json");
    writeFileSync(keyFile, entra.signingKey, { mode: 0o600 });
    this.identity = { issuer: { ...entra.issuer, keyFile } };
  }

  /** One in a sandbox. */
  static async create(sandbox: Sandbox, bits: 2048 | 3072): Promise<AzureKey> {
    const fake = await startFakeKeyVault();
    const entra = await startFakeEntra(() => fake.vault.issueToken());
    return new AzureKey(sandbox, bits, fake, entra, await NetworkPath.open(fake.url));
  }

  async rotate(): Promise<void> {
    this.#fake.vault.rotate(this.#keyUrl);
  }

  async fail(fault: CloudFault): Promise<void> {
    if (fault === "disabled") this.#fake.vault.disable(this.#keyUrl, "all");
    else if (fault === "throttled") this.#fake.vault.behave("throttled");
    else await this.#path.break(fault);
  }

  async mend(): Promise<void> {
    this.#fake.vault.enable(this.#keyUrl, "all");
    this.#fake.vault.behave("well");
    await this.#path.mend();
  }

  async close(): Promise<void> {
    await this.#path.close();
    await this.#entra.close();
    await this.#fake.close();
  }
}
