import { beforeAll, describe, expect, it } from "vitest";

import { statusOf, type ProblemCode } from "../../src/wire/problem.ts";
import { makeHarness, send } from "./fixture.ts";

interface Operation {
  readonly security?: unknown;
  readonly parameters?: {
    readonly name: string;
    readonly in: string;
    readonly schema: Record<string, unknown>;
  }[];
  readonly requestBody?: { readonly required: boolean; readonly content: Record<string, unknown> };
  readonly responses: Record<string, { readonly content?: Record<string, { readonly schema: unknown }> }>;
}
interface Document {
  readonly openapi: string;
  readonly paths: Record<string, Record<string, Operation>>;
  readonly components: {
    readonly schemas: Record<string, Record<string, unknown>>;
    readonly securitySchemes: unknown;
  };
}

type Fields = Readonly<Record<string, { readonly pattern: string }>>;

describe("/openapi.json", () => {
  let document: Document;
  let text: string;
  beforeAll(async () => {
    const answer = await send(makeHarness(), new Request("http://broker.test/openapi.json"));
    text = answer.text;
    document = answer.json as unknown as Document;
  });
  const operation = (path: string, method: string): Operation => {
    const found = document.paths[path]?.[method];
    if (found === undefined) throw new Error(`no ${method} ${path}`);
    return found;
  };

  it("is OpenAPI 3.1 with every path that is served, and no other", () => {
    expect(document.openapi).toBe("3.1.0");
    expect(Object.entries(document.paths).map(([path, methods]) => [path, Object.keys(methods)])).toEqual([
      ["/v1/keks/{kek}/wrap", ["post"]],
      ["/v1/keks/{kek}/unwrap", ["post"]],
      ["/v1/keks/{kek}", ["get"]],
      ["/livez", ["get"]],
      ["/openapi.json", ["get"]],
    ]);
  });

  it("demands a bearer token for KEKs", () => {
    expect(document.components.securitySchemes).toMatchObject({ bearer: { type: "http", scheme: "bearer" } });
    for (const [path, method] of [
      ["wrap", "post"],
      ["unwrap", "post"],
    ] as const) {
      expect(operation(`/v1/keks/{kek}/${path}`, method).security).toEqual([{ bearer: [] }]);
    }
    expect(operation("/v1/keks/{kek}", "get").security).toEqual([{ bearer: [] }]);
  });

  it.each(["wrap", "unwrap"])("demands a body of %s, strict", (path) => {
    const { requestBody } = operation(`/v1/keks/{kek}/${path}`, "post");
    expect(requestBody?.required).toBe(true);
    expect(Object.keys(requestBody?.content ?? {})).toEqual(["application/json"]);
    const schema = document.components.schemas[path === "wrap" ? "WrapRequest" : "UnwrapRequest"];
    expect(schema).toMatchObject({ type: "object", additionalProperties: false });
    expect(schema?.["required"]).toEqual([path === "wrap" ? "plaintext" : "ciphertext"]);
  });

  it.each([
    ["WrapRequest", "plaintext", 344],
    ["UnwrapRequest", "ciphertext", 5464],
  ] as const)("tells how %s.%s is written: canonical base64, not empty", (name, field, maxLength) => {
    const properties = document.components.schemas[name]?.["properties"] as Fields | undefined;
    const schema = properties?.[field];
    expect(schema).toMatchObject({ contentEncoding: "base64", minLength: 4, maxLength });
    const pattern = new RegExp(schema?.pattern ?? "");
    for (const good of ["AAAA", "AAE=", "AQ=="]) expect(good).toMatch(pattern);
    for (const bad of ["", "AA", "AAE", "AR==", "AAF=", "A===", "AA-_", "AAAA\n"])
      expect(bad).not.toMatch(pattern);
  });

  const common: ProblemCode[] = [
    "Validation",
    "AuthenticationFailed",
    "ClockSkew",
    "AccessDenied",
    "Revoked",
    "Throttled",
    "Internal",
    "DependencyTimeout",
  ];
  const acts: ProblemCode[] = [
    ...common,
    "PayloadTooLarge",
    "UnsupportedMediaType",
    "KeyUnavailable",
    "UnsupportedOperation",
    "AuditUnavailable",
  ];
  it.each([
    ["/v1/keks/{kek}/wrap", "post", acts],
    ["/v1/keks/{kek}/unwrap", "post", [...acts, "InvalidCiphertext", "SealedByAnotherCluster"]],
    ["/v1/keks/{kek}", "get", common],
  ] as [string, string, ProblemCode[]][])(
    "names every problem of %s with its status",
    (path, method, codes) => {
      const { responses } = operation(path, method);
      for (const code of codes) {
        const response = responses[String(statusOf(code))];
        const schema = JSON.stringify(response?.content?.["application/problem+json"]?.schema);
        expect(schema, code).toContain(`"${code}"`);
      }
      expect(responses["200"]?.content).toHaveProperty("application/json");
    },
  );

  it("tells of X-Timeout-Ms as a whole number from 1", () => {
    const { parameters } = operation("/v1/keks/{kek}/wrap", "post");
    const timeout = parameters?.find(({ name }) => name === "x-timeout-ms");
    expect(timeout?.schema).toMatchObject({ type: "integer", minimum: 1 });
  });

  it("refers only to what it holds", () => {
    const references = [...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(
      ([, name]) => name,
    );
    expect(references.length).toBeGreaterThan(4);
    expect(Object.keys(document.components.schemas)).toEqual(
      expect.arrayContaining([...new Set(references)]),
    );
  });
});
