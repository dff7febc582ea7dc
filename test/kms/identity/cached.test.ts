import { describe, expect, it } from "vitest";

import { cached } from "../../../src/kms/identity/cached.ts";
import { ProviderError } from "../../../src/kms/key-provider.ts";
import { clock } from "./issuer.ts";

const HOUR_S = 3600;

interface Token {
  readonly name: string;
  readonly expiresAt: number;
}

/** A source whose exchanges a test settles one by one, and a clock. */
function setUp(limitMs?: number) {
  const time = clock();
  const flights: {
    readonly signal: AbortSignal;
    readonly give: (lifetimeS?: number) => Promise<void>;
    readonly fail: () => Promise<void>;
  }[] = [];
  const get = (inner: AbortSignal) =>
    new Promise<Token>((resolve, reject) => {
      const name = `token-${flights.length + 1}`;
      flights.push({
        signal: inner,
        give: async (lifetimeS = HOUR_S) => {
          resolve({ name, expiresAt: time.now() + lifetimeS * 1000 });
          await settled();
        },
        fail: async () => {
          reject(new ProviderError("Unavailable", "the cloud is away"));
          await settled();
        },
      });
    });
  const source = cached({ get, now: time.now, ...(limitMs !== undefined && { limitMs }) });
  return {
    ...time,
    flights,
    source,
    forget: source.forget,
    ask: () => source(new AbortController().signal).then(({ name }) => name),
  };
}

/** Lets what has been decided run to its end. */
async function settled(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
}

describe("temporary credentials", () => {
  it("are exchanged once for a storm of callers", async () => {
    const { flights, ask } = setUp();
    const storm = Array.from({ length: 100 }, ask);
    await flights[0]?.give();
    expect(new Set(await Promise.all(storm))).toEqual(new Set(["token-1"]));
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(1);
  });

  it("come from memory until a quarter of an hour before their end, and are then replaced behind", async () => {
    const { flights, ask, pass } = setUp();
    const first = ask();
    await flights[0]?.give();
    await first;
    pass(HOUR_S - 15 * 60 - 1);
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(1);
    pass(1);
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(2);
    await expect(ask()).resolves.toBe("token-1");
    await flights[1]?.give();
    await expect(ask()).resolves.toBe("token-2");
    expect(flights).toHaveLength(2);
  });

  it("that live for minutes are replaced when a quarter of that is left", async () => {
    const { flights, ask, pass } = setUp();
    const first = ask();
    await flights[0]?.give(400);
    await first;
    pass(299);
    await ask();
    expect(flights).toHaveLength(1);
    pass(1);
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(2);
  });

  it.each([25 * HOUR_S, 1e305])(
    "are not believed to live longer than a day: %d seconds",
    async (lifetimeS) => {
      const { flights, source, ask, pass, now } = setUp();
      const first = source(new AbortController().signal);
      const end = now() + 24 * HOUR_S * 1000;
      await flights[0]?.give(lifetimeS);
      expect((await first).expiresAt).toBe(end);
      pass(24 * HOUR_S - 29);
      const next = ask();
      await flights[1]?.give();
      await expect(next).resolves.toBe("token-2");
    },
  );

  it("serve on while their replacement fails, which is tried again after ten seconds, until they end", async () => {
    const { flights, ask, pass } = setUp();
    const first = ask();
    await flights[0]?.give();
    await first;
    pass(HOUR_S - 600);
    await ask();
    await flights[1]?.fail();
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(2);
    pass(10);
    await expect(ask()).resolves.toBe("token-1");
    expect(flights).toHaveLength(3);
    await flights[2]?.fail();
    pass(590 - 31);
    await expect(ask()).resolves.toBe("token-1");
    await flights[3]?.fail();
    pass(2);
    const late = ask();
    await flights[4]?.fail();
    await expect(late).rejects.toMatchObject({ code: "Unavailable" });
  });

  it("with half a minute left are not handed out: whoever asks waits for the next", async () => {
    const { flights, ask, pass } = setUp();
    const first = ask();
    await flights[0]?.give();
    await first;
    pass(HOUR_S - 29);
    const next = ask();
    await flights[1]?.give();
    await expect(next).resolves.toBe("token-2");
  });

  it("that a cloud refuses are got anew by whoever asks next, once in ten seconds", async () => {
    const { flights, ask, pass, forget } = setUp();
    const first = ask();
    await flights[0]?.give();
    await first;
    pass(9);
    forget();
    await expect(ask()).resolves.toBe("token-1");
    pass(1);
    forget();
    const next = ask();
    await flights[1]?.give();
    await expect(next).resolves.toBe("token-2");
    forget();
    await expect(ask()).resolves.toBe("token-2");
    expect(flights).toHaveLength(2);
  });

  it("that ended while the clock was set back are got anew once a cloud refuses them", async () => {
    const { flights, ask, pass, forget } = setUp();
    const first = ask();
    await flights[0]?.give();
    await first;
    pass(-2 * HOUR_S);
    forget();
    const next = ask();
    await flights[1]?.give();
    await expect(next).resolves.toBe("token-2");
    await expect(ask()).resolves.toBe("token-2");
  });

  it("whose exchange fails are asked for again by the next caller", async () => {
    const { flights, ask } = setUp();
    const storm = [ask(), ask(), ask()];
    const ended = Promise.allSettled(storm);
    await flights[0]?.fail();
    expect((await ended).map(({ status }) => status)).toEqual(["rejected", "rejected", "rejected"]);
    const next = ask();
    await flights[1]?.give();
    await expect(next).resolves.toBe("token-2");
  });

  it("are not lost for the others when one caller gives up", async () => {
    const { flights, source, ask } = setUp();
    const hasty = new AbortController();
    const given = source(hasty.signal);
    const patient = ask();
    hasty.abort();
    await expect(given).rejects.toMatchObject({ code: "Timeout" });
    expect(flights[0]?.signal.aborted).toBe(false);
    await flights[0]?.give();
    await expect(patient).resolves.toBe("token-1");
    await expect(ask()).resolves.toBe("token-1");
  });

  it("are not waited for longer than the limit, whatever the exchange does", async () => {
    const { flights, ask } = setUp(1);
    await expect(ask()).rejects.toMatchObject({ code: "Timeout" });
    expect(flights[0]?.signal.aborted).toBe(true);
  });

  it("whose exchange never ends, as on Workers with the request that began it, are exchanged anew", async () => {
    const { flights, ask, pass } = setUp(60_000);
    const lost = ask();
    lost.catch(() => {});
    pass(61);
    const next = ask();
    expect(flights).toHaveLength(2);
    await flights[1]?.give();
    await expect(next).resolves.toBe("token-2");
    await flights[0]?.give(60);
    await expect(ask()).resolves.toBe("token-2");
  });

  it("survive a clock that was set back", async () => {
    const { flights, ask, pass } = setUp();
    const first = ask();
    pass(-HOUR_S);
    const second = ask();
    await flights[1]?.give();
    await expect(second).resolves.toBe("token-2");
    await flights[0]?.give();
    await first;
    await expect(ask()).resolves.toBeDefined();
  });
});
