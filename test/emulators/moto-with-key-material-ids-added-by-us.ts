import { createHash } from "node:crypto";

import * as z from "zod";

import { forward, type LoopbackServer, type Received, startLoopbackServer } from "./loopback-server.ts";

/**
 * moto knows rotations but not the ids of key material, and no other emulator's id changes. This proxy adds them:
 * `CurrentKeyMaterialId` to DescribeKey and `KeyMaterialId` to Decrypt. Everything else passes as it is. So what
 * rests on these two fields is shown against us, not against a third party.
 *
 * An id is made of the key and the number of its rotations in moto's ListKeyRotations. Which one a ciphertext was
 * made under is remembered when Encrypt returns it, so all Encrypts must come through this proxy.
 */
export async function startMotoWithKeyMaterialIdsAddedByUs(motoUrl: string): Promise<LoopbackServer> {
  const materialOf = new Map<string, string>();
  return startLoopbackServer(async (request) => {
    switch (operationOf(request)) {
      case "Encrypt": {
        const material = await currentMaterial(motoUrl, request);
        return changed(request, motoUrl, (answer) => {
          materialOf.set(digest(answer["CiphertextBlob"]), material);
          return answer;
        });
      }
      case "Decrypt":
        return changed(request, motoUrl, (answer) => {
          const material = materialOf.get(digest(json(request.body)["CiphertextBlob"]));
          if (material === undefined) throw new Error("this ciphertext was not made through this proxy");
          return { ...answer, KeyMaterialId: material };
        });
      case "DescribeKey": {
        const material = await currentMaterial(motoUrl, request);
        return changed(request, motoUrl, (answer) => ({
          ...answer,
          KeyMetadata: { ...Fields.parse(answer["KeyMetadata"]), CurrentKeyMaterialId: material },
        }));
      }
      default:
        return forward(motoUrl, request);
    }
  });
}

const Fields = z.record(z.string(), z.unknown());

function operationOf({ headers }: Received): string {
  return String(headers["x-amz-target"]).replace("TrentService.", "");
}

/** Forwards, and lets `change` have the body of an answer that is not an error. */
async function changed(
  request: Received,
  motoUrl: string,
  change: (answer: Record<string, unknown>) => Record<string, unknown>,
) {
  const answer = await forward(motoUrl, request);
  if (answer.status !== 200) return answer;
  return { ...answer, body: JSON.stringify(change(json(answer.body))) };
}

/** Asks moto with the same credentials scope, since keys are per region there. An unknown key counts no rotation. */
async function currentMaterial(motoUrl: string, request: Received): Promise<string> {
  const keyId = String(json(request.body)["KeyId"]).split("/").at(-1);
  const answer = await forward(motoUrl, {
    ...request,
    headers: { ...request.headers, "x-amz-target": "TrentService.ListKeyRotations" },
    body: Buffer.from(JSON.stringify({ KeyId: keyId, Limit: 1000 })),
  });
  const rotations = json(answer.body)["Rotations"];
  const count = Array.isArray(rotations) ? rotations.length : 0;
  return createHash("sha256").update(`${keyId}/${count}`).digest("hex");
}

function digest(value: unknown): string {
  return createHash("sha256").update(String(value)).digest("hex");
}

function json(body: string | Buffer) {
  return Fields.parse(JSON.parse(body.toString()));
}
