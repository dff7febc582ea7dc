import * as z from "zod";

import { type LoopbackServer, type Reply, startLoopbackServer } from "../emulators/loopback-server.ts";

export const KEY_ARN = "arn:aws:kms:us-east-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab";
export const CREDENTIALS = { accessKeyId: "a-test", secretAccessKey: "signs-with-anything" };

interface AwsRequest {
  readonly operation: string;
  readonly body: Readonly<Record<string, unknown>>;
}

export interface FakeAws extends LoopbackServer {
  /** What the next requests get, in this order. One more request than replies is a 500. */
  script(...replies: readonly Reply[]): void;
  readonly requests: readonly AwsRequest[];
}

const Body = z.record(z.string(), z.unknown());

/** Answers what the test wrote, so it shows what we make of an answer, never what AWS answers. */
export async function startFakeAws(): Promise<FakeAws> {
  const replies: Reply[] = [];
  const requests: AwsRequest[] = [];
  const server = await startLoopbackServer(({ headers, body }) => {
    requests.push({
      operation: String(headers["x-amz-target"]).replace("TrentService.", ""),
      body: Body.parse(JSON.parse(body.toString())),
    });
    const reply = replies.shift();
    if (reply === undefined) throw new Error("not in the script");
    return reply;
  });
  return { ...server, script: (...next) => void replies.push(...next), requests };
}

export function answer(body: object, requestId = "cloud-request-1"): Reply {
  return {
    status: 200,
    headers: { "content-type": "application/x-amz-json-1.1", "x-amzn-requestid": requestId },
    body: JSON.stringify(body),
  };
}
