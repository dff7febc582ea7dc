import { spawnSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";

import type { APIGatewayProxyEventV2, APIGatewayProxyStructuredResultV2 } from "aws-lambda";

import { bundle, packLambda } from "../../../scripts/bundle.mjs";
import type { BrokerTarget } from "../../conformance/http/suite.ts";
import { freePort } from "../../kubernetes/ports.ts";
import type { Sandbox } from "../../kubernetes/sandbox.ts";
import { installLambdaEmulator, installLambdaRuntime } from "../install.mjs";
import { startLoopbackServer } from "../loopback-server.ts";
import { answerOf, eventOf } from "./function-url.ts";

const READY_WITHIN_MS = 30_000;

/**
 * The broker as a Lambda function: its ZIP unpacked, AWS's runtime for Node started by AWS's own emulator, and a
 * function URL of ours in front. It stops with the sandbox.
 */
export async function startLambdaBroker(
  sandbox: Sandbox,
  config: string,
  env: Record<string, string> = {},
): Promise<BrokerTarget> {
  const code = await unpackedFunction(sandbox, config);
  const invoke = await startFunction(sandbox, code, env);
  let last: Promise<unknown> = Promise.resolve();
  // An instance has one invocation at a time.
  const inTurn = (event: APIGatewayProxyEventV2): Promise<APIGatewayProxyStructuredResultV2> => {
    const turn = last.then(() => invoke(event));
    last = turn.catch(() => {});
    return turn;
  };
  const server = await startLoopbackServer(async (request) => answerOf(await inTurn(eventOf(request))));
  return { url: server.url, close: () => server.close() };
}

/** What `npm run bundle` packs, with its configuration, unpacked as Lambda does. */
async function unpackedFunction(sandbox: Sandbox, config: string): Promise<string> {
  const [built, unpacked] = [sandbox.path("bundle"), sandbox.path("task")];
  await bundle("lambda", built);
  writeFileSync(`${built}/broker.yaml`, config);
  const archive = sandbox.path("kek-broker-lambda.zip");
  writeFileSync(archive, packLambda(built));
  mkdirSync(unpacked);
  const { status, stderr } = spawnSync("python3", ["-m", "zipfile", "-e", archive, unpacked], {
    encoding: "utf8",
  });
  if (status !== 0) throw new Error(`the archive cannot be unpacked: ${stderr}`);
  return unpacked;
}

type Invoke = (event: APIGatewayProxyEventV2) => Promise<APIGatewayProxyStructuredResultV2>;

async function startFunction(sandbox: Sandbox, code: string, env: Record<string, string>): Promise<Invoke> {
  const [port, runtimePort] = [await freePort(), await freePort()];
  const addresses = [
    `--runtime-interface-emulator-address=127.0.0.1:${port}`,
    `--runtime-api-address=127.0.0.1:${runtimePort}`,
  ];
  const daemon = await sandbox.run({
    name: "lambda",
    file: installLambdaEmulator().program,
    args: [...addresses, process.execPath, installLambdaRuntime().script],
    env: { LAMBDA_TASK_ROOT: code, _HANDLER: "lambda.handler", AWS_LAMBDA_FUNCTION_TIMEOUT: "10", ...env },
  });
  const url = `http://127.0.0.1:${port}/2015-03-31/functions/function/invocations`;
  const invoke: Invoke = async (event) => {
    const response = await fetch(url, { method: "POST", body: JSON.stringify(event) });
    const text = await response.text();
    const result = JSON.parse(text) as APIGatewayProxyStructuredResultV2;
    if (result.statusCode === undefined) throw new Error(`the function failed: ${text}`);
    return result;
  };
  const alive = eventOf({ method: "GET", path: "/livez", headers: {}, body: Buffer.of() });
  await daemon.until("the function answers", () => invoke(alive), { withinMs: READY_WITHIN_MS });
  return invoke;
}
