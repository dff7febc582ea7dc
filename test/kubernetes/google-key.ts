import { type GoogleKmsFake, startGoogleKmsFake } from "../emulators/google-kms-fake.ts";
import type { CloudFault, CloudKey, MemberInput } from "./cloud-key.ts";
import { NetworkPath } from "./network-fault.ts";

/** A key in Google Cloud KMS as our own fake plays it, by gRPC. */
export class GoogleKey implements CloudKey {
  readonly member: MemberInput;
  readonly env = {};
  readonly #cryptoKey: string;
  readonly #fake: GoogleKmsFake;
  readonly #path: NetworkPath;

  private constructor(cryptoKey: string, fake: GoogleKmsFake, path: NetworkPath) {
    this.#cryptoKey = cryptoKey;
    this.#fake = fake;
    this.#path = path;
    this.member = { gcpKms: { cryptoKey, endpoint: `http://${path.host}` } };
  }

  static async create(): Promise<GoogleKey> {
    const fake = await startGoogleKmsFake();
    return new GoogleKey(fake.admin.createKey(), fake, await NetworkPath.open(fake.grpcUrl));
  }

  async rotate(): Promise<void> {
    this.#fake.admin.rotate(this.#cryptoKey);
  }

  async fail(fault: CloudFault): Promise<void> {
    if (fault === "disabled") this.#fake.admin.setState(this.#cryptoKey, "DISABLED");
    else if (fault === "throttled") this.#fake.faults.last("throttled");
    else await this.#path.break(fault);
  }

  async mend(): Promise<void> {
    this.#fake.admin.setState(this.#cryptoKey, "ENABLED");
    this.#fake.faults.last(undefined);
    await this.#path.mend();
  }

  async close(): Promise<void> {
    await this.#path.close();
    await this.#fake.close();
  }
}
