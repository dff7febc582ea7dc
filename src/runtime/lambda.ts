import { createLambdaHandler } from "./lambda-handler.ts";

/** What AWS Lambda calls; made, with its clouds' SDKs loaded, while Lambda gives a starting instance a whole processor. */
export const handler = await createLambdaHandler({ env: process.env, out: process.stdout });
