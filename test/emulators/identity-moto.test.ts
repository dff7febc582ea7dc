import { describe, expect, it } from "vitest";

import { createSelfSigned } from "../../src/kms/identity/self-signed.ts";
import { providerFor } from "../../src/kms/provider-for.ts";
import { ISSUER, signingKey, SUBJECT } from "../kms/identity/issuer.ts";
import { testPlatform } from "../kms/test-platform.ts";
import { useSandbox } from "../kubernetes/sandbox.ts";
import { KeyAdmin, startMoto } from "./aws-emulators.ts";

const sandbox = useSandbox();
const call = () => ({ signal: AbortSignal.timeout(30_000), requestId: "request-1" });
const context = { kek: "prod-secrets", cluster: "prod-eu-1" };

// moto takes any text for a token, so this shows the query protocol and its XML, and not that a token is good.
describe("a federated AWS member, on moto", () => {
  it("wraps and unwraps as the role that STS made it", async () => {
    const moto = await startMoto(sandbox);
    const keyArn = await new KeyAdmin(moto.url).createKey();
    const asked: string[] = [];
    const platform = testPlatform({
      fetch: (request) => {
        asked.push(request.url);
        return fetch(request);
      },
    });
    const identity = createSelfSigned({
      url: ISSUER,
      subject: SUBJECT,
      key: () => signingKey(),
      now: Date.now,
    });
    const federation = { roleArn: "arn:aws:iam::123456789012:role/kek-broker", endpoint: moto.url };
    const awsKms = { keyArn, endpoint: moto.url, federation };
    const provider = providerFor({ awsKms }, { platform, kek: "prod-secrets", identity, anyHost: false });
    const plaintext = crypto.getRandomValues(new Uint8Array(32));
    const { wrap } = await provider.wrap(plaintext, context, call());
    expect((await provider.unwrap(wrap, context, call())).plaintext).toStrictEqual(plaintext);
    expect(asked).toEqual([`${moto.url}/`]);
  });
});
