// AWS KMS on the wire, without the cryptography: each answer after the same time. `node fake-aws.mjs LATENCY_MS`
import { createServer } from "node:http";
import { json } from "node:stream/consumers";
import { setTimeout as sleep } from "node:timers/promises";
import { pathToFileURL } from "node:url";

export const KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
export const CREDENTIALS = { AWS_ACCESS_KEY_ID: "a-bench", AWS_SECRET_ACCESS_KEY: "signs-with-anything" };

const MATERIAL = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b";
/** As the real service answers for 32 bytes. */
const WRAP_BYTES = 184;

/** What Encrypt answers: as long as the real one, and it holds the plaintext. */
export function wrap(plaintext) {
  const blob = Buffer.alloc(WRAP_BYTES, 1);
  blob.writeUInt8(plaintext.length, 0);
  blob.set(plaintext, 1);
  return blob;
}

function unwrap(blob) {
  return blob.subarray(1, 1 + blob.readUInt8(0));
}

const answers = {
  Encrypt: ({ Plaintext }) => ({
    CiphertextBlob: wrap(Buffer.from(Plaintext, "base64")).toString("base64"),
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    KeyId: KEY_ARN,
  }),
  Decrypt: ({ CiphertextBlob }) => ({
    Plaintext: unwrap(Buffer.from(CiphertextBlob, "base64")).toString("base64"),
    EncryptionAlgorithm: "SYMMETRIC_DEFAULT",
    KeyId: KEY_ARN,
    KeyMaterialId: MATERIAL,
  }),
  DescribeKey: () => ({
    KeyMetadata: {
      KeyId: KEY_ARN.split("/")[1],
      Arn: KEY_ARN,
      CreationDate: 1_700_000_000,
      CurrentKeyMaterialId: MATERIAL,
      Enabled: true,
      KeyState: "Enabled",
    },
  }),
};

function serve(latencyMs) {
  const answer = async (request, response) => {
    const due = performance.now() + latencyMs;
    const operation = String(request.headers["x-amz-target"]).replace("TrentService.", "");
    const body = JSON.stringify(answers[operation](await json(request)));
    const left = due - performance.now();
    if (left > 0) await sleep(left);
    response
      .writeHead(200, {
        "content-type": "application/x-amz-json-1.1",
        "x-amzn-requestid": "3f1c9f0e-7c9a-4d3c-9d46-0d3a8e2a9b11",
      })
      .end(body);
  };
  const server = createServer((request, response) => void answer(request, response));
  server.keepAliveTimeout = 60_000;
  server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
  process.once("SIGTERM", () => process.exit(0));
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) serve(Number(process.argv[2]));
