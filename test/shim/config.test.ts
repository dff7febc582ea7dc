import { describe, expect, test } from "vitest";
import * as z from "zod";

import { parseShimConfig, ShimConfig, socketPathOf } from "../../src/shim/config.ts";
import { DocumentError } from "../../src/wire/document.ts";
import type { Issue } from "../../src/wire/document.ts";

const FILE = {
  kek: "prod-secrets",
  cluster: "prod-eu-1",
  node: "cp-1",
  listen: "unix:///run/kek/kms.sock",
  brokers: ["https://kek.example.com/", "https://kek-2.example.com"],
  identity: { nodeKey: "/etc/kek/node-key.json" },
};

function documentIssuesOf(text: string): readonly Issue[] {
  try {
    parseShimConfig(text);
    return [];
  } catch (error) {
    if (error instanceof DocumentError) return error.issues;
    throw error;
  }
}

function issuesOf(changes: object): string[] {
  const issues = documentIssuesOf(JSON.stringify({ ...FILE, ...changes }));
  return issues.map(({ path, message }) => `${path}: ${message}`);
}

describe("the shim's file", () => {
  test("as short as it can be gets its defaults", () => {
    expect(parseShimConfig(JSON.stringify(FILE))).toEqual({
      ...FILE,
      brokers: ["https://kek.example.com", "https://kek-2.example.com"],
      audience: "https://kek.example.com",
      mode: "direct",
      statusVersion: "v2",
      socket: { mode: "0600" },
    });
  });

  test("with all there is, in YAML", () => {
    const config = parseShimConfig(`
kek: prod-secrets
cluster: prod-eu-1
listen: unix:///run/kek/kms.sock
socket: { owner: "0:1000", mode: "0660" }
brokers: ["http://127.0.0.1:8080", "http://[::1]:8080", "https://10.0.0.7:8443"]
audience: https://kek.example.com
ca: /etc/kek/ca.pem
identity: { tokenFile: /var/run/secrets/kek/token }
mode: direct
http: 127.0.0.1:9100
statusVersion: v2beta1
`);
    expect(config.socket).toEqual({ owner: "0:1000", mode: "0660" });
    expect(config.audience).toBe("https://kek.example.com");
    expect(config.brokers).toHaveLength(3);
    expect(socketPathOf(config.listen)).toBe("/run/kek/kms.sock");
  });

  test.each([
    ["kek", { kek: undefined }],
    ["kek", { kek: "Prod" }],
    ["cluster", { cluster: "" }],
    ["node", { node: "a_b" }],
    ["node", { node: undefined }],
    ["listen", { listen: undefined }],
    ["listen", { listen: "/run/kms.sock" }],
    ["listen", { listen: "unix:kms.sock" }],
    ["listen", { listen: "unix://kms.sock" }],
    ["listen", { listen: "unix:///" }],
    ["listen", { listen: "unix:///run/" }],
    ["listen", { listen: "tcp://127.0.0.1:80" }],
    ["listen", { listen: `unix:///${"a".repeat(107)}` }],
    ["listen", { listen: `unix:///${"ä".repeat(54)}` }],
    ["socket.mode", { socket: { mode: 660 } }],
    ["socket.mode", { socket: { mode: "0666" } }],
    ["socket.owner", { socket: { owner: "root" } }],
    ["brokers", { brokers: [] }],
    ["brokers", { brokers: "https://kek.example.com" }],
    ["brokers", { brokers: ["https://a.example", "https://a.example/"] }],
    ["brokers.0", { brokers: ["http://kek.example.com"] }],
    ["brokers.0", { brokers: ["http://127.0.0.1.example.com"] }],
    ["brokers.0", { brokers: ["ftp://kek.example.com"] }],
    ["brokers.0", { brokers: ["kek.example.com"] }],
    ["brokers.0", { brokers: ["https://user@kek.example.com"] }],
    ["brokers.0", { brokers: ["https://kek.example.com/v1"] }],
    ["brokers.0", { brokers: ["https://kek.example.com?a=b"] }],
    ["identity", { identity: {} }],
    ["identity", { identity: { nodeKey: "a", tokenFile: "b" } }],
    ["identity.key", { identity: { nodeKey: "a", key: "b" } }],
    ["identity.exec", { identity: { exec: [] } }],
    ["identity.nodeKey", { identity: { nodeKey: "" } }],
    ["mode", { mode: "local-kek" }],
    ["http", { http: "0.0.0.0:9100" }],
    ["http", { http: "127.0.0.1:65536" }],
    ["http", { http: "127.0.0.1" }],
    ["statusVersion", { statusVersion: "v3" }],
    ["audience", { audience: "" }],
    ["state", { state: "/var/lib/kek" }],
  ])("with a mistake at %j is refused there: %j", (path, changes) => {
    const issues = issuesOf(changes);
    expect(issues.length).toBeGreaterThan(0);
    expect(new Set(issues.map((issue) => issue.slice(0, issue.indexOf(": "))))).toEqual(new Set([path]));
  });

  test("says that local-kek is not built yet", () => {
    expect(issuesOf({ mode: "local-kek" })).toEqual([expect.stringMatching(/only `direct` is built so far/)]);
  });

  test("names all mistakes at once, with their lines", () => {
    const issues = documentIssuesOf(`kek: A\ncluster: B\nlisten: x\nbrokers: []\nidentity: {}\nextra: 1\n`);
    expect(issues.map(({ path, line }) => [path, line])).toEqual([
      ["kek", 1],
      ["cluster", 2],
      ["listen", 3],
      ["brokers", 4],
      ["identity", 5],
      ["extra", 6],
    ]);
  });

  test.each(["", "[]", "null", "7", "kek", "{", "kek: [", "- kek"])("that is %j is refused", (text) => {
    expect(() => parseShimConfig(text)).toThrow(DocumentError);
  });

  test("a path of 107 bytes is the longest", () => {
    expect(issuesOf({ listen: `unix:///${"a".repeat(106)}` })).toEqual([]);
  });

  test("every field is described, for the documentation made from the schema", () => {
    const schema = z.toJSONSchema(ShimConfig, { io: "input", unrepresentable: "any" });
    const undescribed = Object.entries(schema.properties ?? {}).filter(
      ([, property]) => typeof property !== "object" || property.description === undefined,
    );
    expect(undescribed).toEqual([]);
  });
});
