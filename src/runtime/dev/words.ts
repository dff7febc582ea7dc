import { stringify } from "yaml";

import type { DevFolder } from "./folder.ts";

/** What the round trip over the socket showed. */
export interface Transcript {
  readonly version: string;
  readonly healthz: string;
  readonly keyId: string;
  readonly seedBytes: number;
  readonly ciphertextBytes: number;
}

export interface Running {
  readonly folder: DevFolder;
  readonly transcript: Transcript;
  readonly brokerUrl: string;
  readonly privateUrl: string;
  readonly shimUrl: string | undefined;
}

/** What a person reads after a start, and the file to hand to kube-apiserver. */
export function howToUse(running: Running): { screen: string[]; encryptionConfiguration: string } {
  const { folder, transcript, brokerUrl, privateUrl, shimUrl } = running;
  const encryptionConfiguration = encryptionConfigurationFor(folder.socket);
  const screen = [
    `kek-broker dev: ${folder.resumed ? "resumed with the keys in" : "made new keys in"} ${folder.dir}`,
    "",
    `  broker   ${brokerUrl}   (readyz, metrics: ${privateUrl})`,
    `  shim     unix://${folder.socket}${shimUrl === undefined ? "" : `   (livez, readyz, metrics: ${shimUrl})`}`,
    "",
    "KMS v2 over the socket, as kube-apiserver calls it:",
    `  Status  → version ${transcript.version}, healthz ${transcript.healthz}, key_id ${transcript.keyId}`,
    `  Encrypt ← a seed of ${transcript.seedBytes} bytes`,
    `          → ${transcript.ciphertextBytes} bytes of envelope under ${transcript.keyId}`,
    `  Decrypt ← the envelope`,
    `          → the same ${transcript.seedBytes} bytes`,
    "",
    "Hand this to a kube-apiserver on this machine:",
    `  --encryption-provider-config=${folder.encryptionConfig}`,
    ...encryptionConfiguration
      .trimEnd()
      .split("\n")
      .map((line) => `    ${line}`),
    "",
    "Look at it:",
    `  curl -s ${brokerUrl}/openapi.json      # the HTTP API`,
    `  curl -s ${privateUrl}/metrics          # what the broker counts`,
    `  tail -f ${folder.custody}              # every use of the KEK, before and after it`,
    `  tail -f ${folder.log}                  # what both of them log`,
    "",
    "The KEK is in that folder, in the clear: for development only. Ctrl-C stops both; the folder stays.",
  ];
  return { screen, encryptionConfiguration };
}

function encryptionConfigurationFor(socket: string): string {
  return stringify({
    apiVersion: "apiserver.config.k8s.io/v1",
    kind: "EncryptionConfiguration",
    resources: [
      {
        resources: ["secrets"],
        providers: [
          { kms: { apiVersion: "v2", name: "kek-broker", endpoint: `unix://${socket}`, timeout: "3s" } },
          { identity: {} },
        ],
      },
    ],
  });
}
