import { spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "undici";

import { connect } from "./kms-client.mjs";
import { makeEnvelopes, signedUnwrap, UNWRAP } from "./stack.mjs";
import { overRounds } from "./statistics.mjs";

/** Milliseconds from exec to what the name says; each program is started so often, in turns. */
export async function coldStart(stacks, starts) {
  const envelopes = {
    local: await makeEnvelopes("local", starts),
    aws: await makeEnvelopes("aws", starts),
  };
  const rounds = [];
  for (let turn = 0; turn < starts; turn += 1) {
    const emptyNode = await runEmptyNode();
    const local = await startBroker(stacks.local, envelopes.local());
    const shim = await startShim(stacks.local, local.broker.url);
    await local.broker.stop();
    const aws = await startBroker(stacks.aws, envelopes.aws());
    await aws.broker.stop();
    rounds.push({
      emptyNode,
      ...shim,
      brokerListening: local.broker.listeningAfter,
      brokerLive: local.live,
      localFirstUnwrap: local.firstUnwrapTook,
      awsFirstUnwrap: aws.firstUnwrapTook,
    });
  }
  return overRounds(rounds);
}

/** What Node itself takes to start and end. */
async function runEmptyNode() {
  const began = performance.now();
  await once(spawn(process.execPath, ["-e", ""]), "exit");
  return performance.now() - began;
}

async function startBroker(stack, envelope) {
  const broker = await stack.startBroker();
  const { body: lives } = await request(`${broker.url}/livez`);
  await lives.text();
  const live = performance.now() - broker.began;
  const { body, headers } = signedUnwrap(envelope);
  const asked = performance.now();
  const answer = await request(`${broker.url}${UNWRAP}`, { method: "POST", headers, body });
  const text = await answer.body.text();
  if (answer.statusCode !== 200) throw new Error(`the first unwrap (${stack.provider}): ${text}`);
  return { broker, live, firstUnwrapTook: performance.now() - asked };
}

async function startShim(stack, brokerUrl) {
  const shim = await stack.startShim(brokerUrl);
  const shimSocket = performance.now() - shim.began;
  const kms = connect(shim.socket);
  for (;;) {
    const { healthz } = await kms.status();
    if (healthz === "ok") break;
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  const shimOk = performance.now() - shim.began;
  kms.close();
  await shim.stop();
  return { shimSocket, shimOk };
}
