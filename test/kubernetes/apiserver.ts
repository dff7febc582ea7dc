import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { ApiClient } from "./api-client.ts";
import type { Tools } from "./tools.ts";
import type { Credentials } from "./credentials.ts";
import type { Daemon, Exit } from "./daemon.ts";
import type { Etcd } from "./etcd.ts";
import { Kubectl } from "./kubectl.ts";
import { freePort } from "./ports.ts";
import type { Sandbox } from "./sandbox.ts";

const READY_WITHIN_MS = 90_000;
const RELOAD_WITHIN_MS = 120_000;
const RELOADS = "apiserver_encryption_config_controller_automatic_reloads_total";

/** What an apiserver stands on. */
export interface ApiserverOptions {
  readonly sandbox: Sandbox;
  readonly tools: Tools;
  readonly etcd: Etcd;
  readonly credentials: Credentials;
  /** Unique in the sandbox. */
  readonly name: string;
  /** The EncryptionConfiguration, as YAML; without one nothing is encrypted. */
  readonly encryption?: string | undefined;
}

/** What to wait for: `serving` is enough where a plugin is down and /readyz will not come. */
export type Until = "ready" | "serving";

/** One kube-apiserver, on a port of its own that restarts keep. */
export class Apiserver {
  readonly name: string;
  readonly origin: string;
  readonly #options: ApiserverOptions;
  readonly #port: number;
  #daemon: Daemon | undefined;
  #api: ApiClient | undefined;

  private constructor(options: ApiserverOptions, port: number) {
    this.#options = options;
    this.#port = port;
    this.name = options.name;
    this.origin = `https://127.0.0.1:${port}`;
  }

  static async start(options: ApiserverOptions, until: Until = "ready"): Promise<Apiserver> {
    const apiserver = new Apiserver(options, await freePort());
    if (options.encryption !== undefined) apiserver.#writeEncryption(options.encryption);
    await apiserver.start(until);
    return apiserver;
  }

  /** The API, as long as this apiserver has been started once. */
  get api(): ApiClient {
    if (this.#api === undefined) throw new Error(`${this.name} was never started`);
    return this.#api;
  }

  /** kubectl, as an administrator of this apiserver. */
  get kubectl(): Kubectl {
    const { sandbox, tools, credentials } = this.#options;
    return new Kubectl(tools.kubectl, sandbox.path(`${this.name}.kubeconfig.yaml`), {
      server: this.origin,
      certificateAuthority: this.#certificate,
      token: credentials.token,
    });
  }

  /** Starts it, again on the port, the etcd and the encryption configuration it had. */
  async start(until: Until = "ready"): Promise<void> {
    const { sandbox, tools } = this.#options;
    this.#daemon = await sandbox.run({
      name: this.name,
      file: tools["kube-apiserver"],
      args: this.#flags(),
    });
    const bound = { withinMs: READY_WITHIN_MS };
    await this.#daemon.until(`${this.name} is ${until}`, () => this.#probe(until), bound);
  }

  /** SIGTERM, and waits until it has drained. */
  async stop(): Promise<Exit | undefined> {
    return this.#daemon?.stop();
  }

  /** SIGKILL. */
  async kill(): Promise<Exit | undefined> {
    return this.#daemon?.kill();
  }

  async restart(until: Until = "ready"): Promise<void> {
    await this.stop();
    await this.start(until);
  }

  /** Replaces the encryption configuration and waits until the running apiserver has taken it, which may be a minute. */
  async reconfigure(encryption: string): Promise<void> {
    const before = await this.#reloads();
    this.#writeEncryption(encryption);
    await this.#daemon?.until(
      `${this.name} has reloaded its encryption configuration`,
      async () => ((await this.#reloads()) > before ? true : undefined),
      { withinMs: RELOAD_WITHIN_MS, everyMs: 500 },
    );
  }

  get #encryptionFile(): string {
    return this.#options.sandbox.path(`${this.name}.encryption.yaml`);
  }

  /** kube-apiserver makes itself a certificate, followed by the one of the authority that signed it. */
  get #certificate(): string {
    return this.#options.sandbox.path(`${this.name}.pki`, "apiserver.crt");
  }

  async #reloads(): Promise<number> {
    const reloads = await this.api.metric(RELOADS);
    return reloads.find(({ labels }) => labels["status"] === "success")?.value ?? 0;
  }

  /** By rename, so that the apiserver never reads half a file. */
  #writeEncryption(yaml: string): void {
    const next = `${this.#encryptionFile}.next`;
    writeFileSync(next, yaml, { mode: 0o600 });
    renameSync(next, this.#encryptionFile);
  }

  async #probe(until: Until): Promise<true | undefined> {
    this.#api ??= new ApiClient(
      this.origin,
      readFileSync(this.#certificate, "utf8"),
      this.#options.credentials.token,
    );
    const { status } = await this.#api.get("/readyz");
    if (until === "serving") return true;
    if (status !== 200) return undefined;
    // A controller makes it, and readiness does not wait for that.
    const namespace = await this.#api.get("/api/v1/namespaces/default");
    return namespace.status === 200 ? true : undefined;
  }

  #flags(): string[] {
    const { sandbox, etcd, credentials, encryption } = this.#options;
    return [
      `--etcd-servers=${etcd.endpoint}`,
      "--bind-address=127.0.0.1",
      "--advertise-address=127.0.0.1",
      `--secure-port=${this.#port}`,
      "--endpoint-reconciler-type=none",
      `--cert-dir=${sandbox.path(`${this.name}.pki`)}`,
      `--token-auth-file=${credentials.tokenFile}`,
      "--authorization-mode=RBAC",
      "--service-account-issuer=https://kubernetes.default.svc",
      `--service-account-signing-key-file=${credentials.serviceAccountKeyFile}`,
      `--service-account-key-file=${credentials.serviceAccountKeyFile}`,
      "--service-cluster-ip-range=10.0.0.0/24",
      ...(encryption === undefined
        ? []
        : [
            `--encryption-provider-config=${this.#encryptionFile}`,
            "--encryption-provider-config-automatic-reload=true",
          ]),
    ];
  }
}
