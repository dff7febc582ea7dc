import { describe, expect, it } from "vitest";

import { fakeProvider } from "./fake-provider.ts";
import {
  call,
  configInput,
  KEK,
  keys,
  makeHarness,
  nodeToken,
  oidcToken,
  STATUS,
  unwrap,
  UNWRAP,
  wrap,
  WRAP,
} from "./fixture.ts";

/** A DEK that cannot occur by chance, in every form it could leak in. */
const MARKED = Buffer.from("MARKED-DEK-e7f3-do-not-tell-me!!");
const FORMS = [
  MARKED.toString("latin1"),
  MARKED.toString("base64"),
  MARKED.toString("base64url"),
  MARKED.toString("hex"),
  [...MARKED].join(","),
  // Wherever it may begin within a longer base64 text.
  ...[1, 2].map((shift) =>
    Buffer.concat([Buffer.alloc(shift), MARKED])
      .toString("base64")
      .slice(4, -4),
  ),
];

function leaks(text: string): string[] {
  return FORMS.filter((form) => text.toLowerCase().includes(form.toLowerCase()));
}

describe("a DEK", () => {
  it("is found by this test's own eyes", () => {
    expect(leaks(`x${MARKED.toString("base64")}`)).not.toEqual([]);
    expect(leaks(MARKED.toString("hex").toUpperCase())).not.toEqual([]);
  });

  it("and a token appear in no log, record, metric or problem, whatever happens", async () => {
    const aa = fakeProvider();
    const local = configInput().keks?.[KEK]?.members["dev"];
    const harness = makeHarness({
      config: { ...configInput(), keks: { [KEK]: { members: { aa: local } } as never } },
      providers: new Map([[KEK, new Map([["aa", aa]])]]),
    });
    const plaintext = MARKED.toString("base64");
    const problems: string[] = [];
    const send = async (path: string, body: unknown, mistakes = {}) => {
      const answer = await call(harness, "POST", path, body, { mistakes });
      if (answer.status !== 200) problems.push(answer.text);
      problems.push(JSON.stringify([...answer.headers]));
      return answer;
    };

    const { json } = await send(WRAP, { plaintext });
    const { ciphertext } = json;
    expect((await unwrap(harness, ciphertext)).json["plaintext"]).toBe(plaintext);
    await call(harness, "GET", STATUS);
    await send(WRAP, { plaintext: `${plaintext}=` });
    await send(WRAP, { plaintext: MARKED.toString("latin1") });
    await send(WRAP, { plaintext, [MARKED.toString("hex")]: plaintext });
    await send(WRAP, { plaintext, uid: `${MARKED.toString("latin1")} x` });
    await send(WRAP, `{"plaintext":"${plaintext}`);
    await send(WRAP, plaintext);
    await send(UNWRAP, { ciphertext: plaintext });
    await send(WRAP, { plaintext }, { signer: keys.stranger });
    await send(WRAP, { plaintext }, { headers: { "content-type": "text/plain" } });
    await send(WRAP, { plaintext }, { headers: { "x-request-id": `{${plaintext}}` } });
    await send(
      WRAP,
      { plaintext },
      { headers: { traceparent: plaintext, authorization: `Basic ${plaintext}` } },
    );
    await send(`/v1/keks/${MARKED.toString("hex").slice(0, 38)}/wrap`, { plaintext });
    for (const fault of [
      "Timeout",
      "KeyUnavailable",
      "Throttled",
      "AccessDenied",
      "InvalidCiphertext",
      "defect",
    ] as const) {
      for (const failsAfter of [false, true]) {
        Object.assign(aa, { faults: { wrap: fault, unwrap: fault, version: fault }, failsAfter });
        await send(WRAP, { plaintext });
        await send(UNWRAP, { ciphertext });
        harness.clock += 0;
      }
    }
    const everything = [
      ...harness.logs,
      ...problems,
      JSON.stringify(harness.entries),
      JSON.stringify(harness.counted),
    ].join("\n");
    expect(leaks(everything)).toEqual([]);
    const token = await nodeToken("POST", WRAP, "");
    for (const secret of [token.split(".")[2] ?? "", (await oidcToken()).split(".")[2] ?? "", "eyJ"]) {
      expect(everything).not.toContain(secret);
    }
    expect(everything).not.toMatch(/arn:|secret in a message/);
    expect(harness.logs.length).toBeGreaterThan(30);
  });

  it("is in no label: metrics know only configured names and closed sets", async () => {
    const harness = makeHarness();
    await wrap(harness);
    await call(harness, "POST", "/v1/keks/attacker-chosen/wrap", { plaintext: "AAAA" });
    await call(harness, "POST", WRAP, { plaintext: "AAAA" }, { subject: "attacker/chosen" });
    await call(harness, "GET", "/attacker-chosen");
    expect(JSON.stringify(harness.counted)).not.toContain("attacker");
    expect(harness.logs.join("\n")).not.toContain("attacker");
  });
});
