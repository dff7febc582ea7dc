/** A KMS v2 provider as an EncryptionConfiguration names it. */
export interface KmsProvider {
  /** Part of the stored value's prefix; unique in the configuration. */
  readonly name: string;
  /** Path of the unix socket. */
  readonly socket: string;
}

const RESOURCES = ["secrets", "configmaps"];

/** Providers in order: the first one writes, all read. `identity` is what stores and reads plaintext. */
export function encryptionConfiguration(
  providers: readonly (KmsProvider | "identity")[],
  resources: readonly string[] = RESOURCES,
): string {
  return `apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: ${JSON.stringify(resources)}
    providers:
${providers.map(provider).join("")}`;
}

function provider(provider: KmsProvider | "identity"): string {
  if (provider === "identity") return "      - identity: {}\n";
  return `      - kms:
          apiVersion: v2
          name: ${provider.name}
          endpoint: unix://${provider.socket}
          timeout: 3s
`;
}
