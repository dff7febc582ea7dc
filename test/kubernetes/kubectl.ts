import { writeFileSync } from "node:fs";
import { type Outcome, run } from "./run.ts";

/** Where an apiserver is and how to be let in. */
export interface Access {
  readonly server: string;
  /** A file of PEM certificates. */
  readonly certificateAuthority: string;
  readonly token: string;
}

/** The real kubectl with a kubeconfig of its own. */
export class Kubectl {
  readonly #file: string;
  readonly #kubeconfig: string;

  constructor(file: string, kubeconfig: string, access: Access) {
    this.#file = file;
    this.#kubeconfig = kubeconfig;
    // JSON is YAML.
    writeFileSync(kubeconfig, JSON.stringify(kubeconfigFor(access)), { mode: 0o600 });
  }

  /** Whatever the exit code is. */
  run(args: readonly string[], stdin?: string): Promise<Outcome> {
    return run(this.#file, ["--kubeconfig", this.#kubeconfig, ...args], {
      stdin,
      env: { KUBERC: "off" },
    });
  }

  /** What it printed; throws unless it succeeded. */
  async ok(args: readonly string[], stdin?: string): Promise<string> {
    const { code, stdout, stderr } = await this.run(args, stdin);
    if (code !== 0) throw new Error(`kubectl ${args.join(" ")} ended with ${code}: ${stderr}`);
    return stdout;
  }
}

function kubeconfigFor({ server, certificateAuthority, token }: Access): object {
  return {
    apiVersion: "v1",
    kind: "Config",
    clusters: [{ name: "test", cluster: { server, "certificate-authority": certificateAuthority } }],
    users: [{ name: "admin", user: { token } }],
    contexts: [{ name: "test", context: { cluster: "test", user: "admin" } }],
    "current-context": "test",
  };
}
