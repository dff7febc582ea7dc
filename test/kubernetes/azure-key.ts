import { writeFileSync } from "node:fs";

import { type HttpsVault, startFakeKeyVault } from "../emulators/azure-key-vault-server.ts";
import type { CloudFault, CloudKey, IdentityInput, MemberInput } from "./cloud-key.ts";
import { type Entra, startEntra } from "./entra.ts";
import { NetworkPath } from "./network-fault.ts";
import type { Sandbox } from "./sandbox.ts";

/**
 * An RSA key in Azure Key Vault as our own fake plays it, reached with a token that Entra's fake gives
 * for one of the broker's own issuer.
 */
export class AzureKey implements CloudKey {
  readonly member: MemberInput;
  readonly env: Readonly<Record<string, string>>;
  readonly identity: IdentityInput;
  readonly #keyUrl: string;
  readonly #fake: HttpsVault;
  readonly #entra: Entra;
  readonly #path: NetworkPath;

  private constructor(
    sandbox: Sandbox,
    bits: 2048 | 3072,
    fake: HttpsVault,
    entra: Entra,
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
    this.identity = entra.identity;
  }

  /** One in a sandbox. */
  static async create(sandbox: Sandbox, bits: 2048 | 3072): Promise<AzureKey> {
    const entra = await startEntra(sandbox);
    const fake = await startFakeKeyVault({ acceptToken: entra.isForVaults });
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
