import { createLambdaHandler } from "./lambda-handler.ts";

/** What AWS Lambda calls; made while Lambda gives an instance that starts all of its processor. */
export const handler = await createLambdaHandler({ env: process.env, out: process.stdout });
