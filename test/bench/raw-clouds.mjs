import { DecryptCommand, EncryptCommand, KMSClient } from "@aws-sdk/client-kms";
import { CryptographyClient, KeyClient } from "@azure/keyvault-keys";
import { KeyManagementServiceClient } from "@google-cloud/kms";
import { credentials } from "@grpc/grpc-js";
import { PassThroughClient } from "google-auth-library";

import { CREDENTIALS, KEY_ARN } from "./fake-aws.mjs";

/** What a broker asks its cloud, asked by the cloud's own SDK from here. `wrap` gives what `unwrap` takes. */
export function rawAws(endpoint) {
  const client = new KMSClient({
    region: "us-east-1",
    endpoint,
    maxAttempts: 1,
    credentials: {
      accessKeyId: CREDENTIALS.AWS_ACCESS_KEY_ID,
      secretAccessKey: CREDENTIALS.AWS_SECRET_ACCESS_KEY,
    },
  });
  const common = {
    KeyId: KEY_ARN,
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    EncryptionContext: { "kek-broker.dev/kek": "prod-secrets", "kek-broker.dev/cluster": "prod-eu-1" },
  };
  return {
    wrap: async (Plaintext) => {
      const { CiphertextBlob } = await client.send(new EncryptCommand({ ...common, Plaintext }));
      return CiphertextBlob;
    },
    unwrap: async (CiphertextBlob) => {
      const { Plaintext } = await client.send(new DecryptCommand({ ...common, CiphertextBlob }));
      return Plaintext;
    },
    close: async () => client.destroy(),
  };
}

export function rawGoogle({ endpoint, cryptoKey }) {
  const { hostname, port } = new URL(endpoint);
  const client = new KeyManagementServiceClient({
    apiEndpoint: hostname,
    port: Number(port),
    sslCreds: credentials.createInsecure(),
    authClient: new PassThroughClient(),
  });
  const context = { name: cryptoKey, additionalAuthenticatedData: Buffer.from("prod-secrets prod-eu-1") };
  return {
    wrap: async (plaintext) => (await client.encrypt({ ...context, plaintext }))[0].ciphertext,
    unwrap: async (ciphertext) => (await client.decrypt({ ...context, ciphertext }))[0].plaintext,
    close: () => client.close(),
  };
}

/** With versions in its clients, as the broker has it; the client for wraps learns the newest from the key. */
export async function rawAzure({ keyUrl, token }) {
  const credential = { getToken: async () => ({ token, expiresOnTimestamp: Date.now() + 3_600_000 }) };
  const options = { disableChallengeResourceVerification: true, retryOptions: { maxRetries: 0 } };
  const { origin, pathname } = new URL(keyUrl);
  const key = await new KeyClient(origin, credential, options).getKey(pathname.split("/").at(-1));
  const client = new CryptographyClient(key.id, credential, options);
  return {
    wrap: async (plaintext) => (await client.wrapKey("RSA-OAEP-256", plaintext)).result,
    unwrap: async (wrapped) => (await client.unwrapKey("RSA-OAEP-256", wrapped)).result,
    close: async () => {},
  };
}
