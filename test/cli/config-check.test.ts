import { describe, expect, it } from "vitest";

import { run } from "./run.ts";

const FITS = `audience: https://kek.example.com
keks:
  prod-secrets:
    members:
      aws: { awsKms: { keyArn: "arn:aws:kms:eu-central-1:111122223333:key/1234abcd" } }
#`;
const LARGEST = FITS + "ü".repeat((5120 - FITS.length) / 2);
const TOO_LARGE = `${LARGEST}ü`;

describe("kekctl config check, of a file that is to be a Worker's secret", () => {
  const check = (runtime: string, text: string) => run(["config", "check", "--runtime", runtime, "-"], text);

  it("takes as many bytes as a secret holds", async () => {
    expect(new TextEncoder().encode(LARGEST).length).toBeGreaterThanOrEqual(5119);
    expect(await check("worker", LARGEST)).toMatchObject({ code: 0 });
  });

  it("refuses more, and says what helps", async () => {
    const { out, code } = await check("worker", TOO_LARGE);
    expect(code).toBe(1);
    expect(out).toMatch(
      /is 512[0-9] bytes, and a Worker's secret holds 5120: register issuers rather than nodes/,
    );
  });

  it("takes it elsewhere", async () => {
    expect(await check("lambda", TOO_LARGE)).toMatchObject({ code: 0 });
  });
});
