import { describe, expect, it } from "vitest";

import { authorize, openableClusters } from "../../src/broker/authorize.ts";
import { KEK, NOW, stateOf } from "./fixture.ts";

const { config } = stateOf();

describe("authorize", () => {
  it("allows what is granted, and says to whom", () => {
    const decision = authorize(config, "prod-eu-1", "wrap", KEK);
    expect(decision).toMatchObject({ allowed: true, grant: { name: KEK, cluster: { id: "eu-id" } } });
  });

  it("allows an operation and not another", () => {
    expect(authorize(config, "readers", "status", KEK).allowed).toBe(true);
    expect(authorize(config, "readers", "wrap", KEK)).toEqual({ allowed: false, reason: "not-granted" });
  });

  it("goes by a cluster's map key, not its id", () => {
    expect(authorize(config, "eu-id", "wrap", KEK).allowed).toBe(false);
  });

  // Of plain objects, as any parser could make them.
  it.each(["constructor", "__proto__", "toString", "hasOwnProperty"])(
    "knows no KEK or cluster %s",
    (name) => {
      const plain = { ...config, keks: { ...config.keks }, clusters: { ...config.clusters } };
      expect(authorize(plain, "prod-eu-1", "wrap", name)).toEqual({ allowed: false, reason: "unknown-kek" });
      expect(authorize(plain, name, "wrap", KEK)).toEqual({ allowed: false, reason: "not-granted" });
    },
  );
});

describe("openable clusters", () => {
  it("are a cluster's own id, and those it restores until their time", () => {
    const cluster = config.clusters["prod-eu-1"];
    if (cluster === undefined) throw new Error("the fixture has no such cluster");
    const mayOpen = [
      { cluster: "past", until: NOW },
      { cluster: "future", until: NOW + 1 },
    ];
    expect(openableClusters({ ...cluster, mayOpen }, NOW)).toEqual(["eu-id", "future"]);
  });
});
