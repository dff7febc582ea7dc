import { type AwsEmulator, CREDENTIALS, KeyAdmin } from "../emulators/aws-emulators.ts";
import { awsError } from "../emulators/aws-fault-proxy.ts";
import {
  forward,
  type LoopbackServer,
  type Received,
  type Reply,
  startLoopbackServer,
} from "../emulators/loopback-server.ts";
import { startMotoWithKeyMaterialIdsAddedByUs } from "../emulators/moto-with-key-material-ids-added-by-us.ts";
import type { CloudFault, CloudKey, MemberInput } from "./cloud-key.ts";
import { NetworkPath } from "./network-fault.ts";

/**
 * A key in AWS KMS as moto plays it, with the ids of key material that our proxy adds. moto encrypts with a disabled
 * key and never throttles, so those two are answered by us as AWS documents them.
 */
export class AwsKey implements CloudKey {
  readonly member: MemberInput;
  readonly env = {
    AWS_ACCESS_KEY_ID: CREDENTIALS.accessKeyId,
    AWS_SECRET_ACCESS_KEY: CREDENTIALS.secretAccessKey,
  };
  readonly #keyArn: string;
  readonly #admin: KeyAdmin;
  readonly #path: NetworkPath;
  readonly #frontEnd: FrontEnd;

  private constructor(keyArn: string, admin: KeyAdmin, path: NetworkPath, frontEnd: FrontEnd) {
    this.#keyArn = keyArn;
    this.#admin = admin;
    this.#path = path;
    this.#frontEnd = frontEnd;
    this.member = { awsKms: { keyArn, endpoint: `http://${path.host}` } };
  }

  static async create(moto: AwsEmulator): Promise<AwsKey> {
    const admin = new KeyAdmin(moto.url);
    const keyArn = await admin.createKey();
    const frontEnd = await FrontEnd.start(moto.url);
    return new AwsKey(keyArn, admin, await NetworkPath.open(frontEnd.url), frontEnd);
  }

  rotate(): Promise<void> {
    return this.#admin.rotate(this.#keyArn);
  }

  async fail(fault: CloudFault): Promise<void> {
    if (fault === "throttled" || fault === "disabled") this.#frontEnd.fault = fault;
    else await this.#path.break(fault);
  }

  async mend(): Promise<void> {
    this.#frontEnd.fault = undefined;
    await this.#path.mend();
  }

  async close(): Promise<void> {
    await this.#path.close();
    await this.#frontEnd.close();
  }
}

/** What AWS answers in moto's stead: ids of key material, throttling, and a key's state. */
class FrontEnd {
  fault: "throttled" | "disabled" | undefined;
  readonly #materials: LoopbackServer;
  #server: LoopbackServer | undefined;

  private constructor(materials: LoopbackServer) {
    this.#materials = materials;
  }

  static async start(motoUrl: string): Promise<FrontEnd> {
    const frontEnd = new FrontEnd(await startMotoWithKeyMaterialIdsAddedByUs(motoUrl));
    frontEnd.#server = await startLoopbackServer((request) => frontEnd.#answer(request));
    return frontEnd;
  }

  get url(): string {
    if (this.#server === undefined) throw new Error("it was never started");
    return this.#server.url;
  }

  async close(): Promise<void> {
    await this.#server?.close();
    await this.#materials.close();
  }

  async #answer(request: Received): Promise<Reply> {
    if (this.fault === "throttled") return awsError(400, "ThrottlingException");
    const describes = String(request.headers["x-amz-target"]).endsWith(".DescribeKey");
    if (this.fault === "disabled" && !describes) return awsError(400, "DisabledException");
    const answer = await forward(this.#materials.url, request);
    if (this.fault !== "disabled" || answer.status !== 200) return answer;
    const body = answer.body.toString().replace(/"KeyState": ?"Enabled"/, '"KeyState":"Disabled"');
    return { ...answer, body };
  }
}
