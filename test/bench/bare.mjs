// The broker's route on the broker's HTTP stack, and nothing else: no authentication, no record, no cryptography.
import { createAdaptorServer } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
app.post("/v1/keks/:kek/unwrap", async (c) => {
  const { ciphertext } = await c.req.json();
  if (typeof ciphertext !== "string") return c.json({}, 400);
  return c.json({
    plaintext: "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
    keyId: "prod-secrets.0.aaaaaaaaaaaaaaaa",
  });
});
const server = createAdaptorServer({ fetch: app.fetch, serverOptions: { keepAliveTimeout: 65_000 } });
server.listen(0, "127.0.0.1", () => console.log(JSON.stringify({ port: server.address().port })));
process.once("SIGTERM", () => process.exit(0));
