import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import * as z from "zod";

import { DocumentError, MAX_DOCUMENT_LENGTH, parseDocument, readDocument } from "../../src/wire/document.ts";
import { Name } from "../../src/wire/name.ts";

const Schema = z.strictObject({
  name: Name.optional(),
  size: z.int().min(1).max(9).optional(),
  mode: z.enum(["a", "b"]).optional(),
  only: z.literal(true).optional(),
  url: z.url().optional(),
  when: z.iso.date().optional(),
  either: z.union([z.ipv4(), z.ipv6()]).optional(),
  key: z
    .discriminatedUnion("kty", [z.strictObject({ kty: z.literal("EC"), x: z.string().max(4) })])
    .optional(),
  list: z.array(z.strictObject({ id: z.string().max(4) })).optional(),
  map: z.record(Name, z.strictObject({ id: z.string() })).optional(),
});

/** As `LINE PATH: message`. */
function mistakesIn(text: string): string[] {
  try {
    parseDocument(text, Schema);
    return [];
  } catch (error) {
    if (!(error instanceof DocumentError)) throw error;
    return error.issues.map(({ path, line, message }) => `${line ?? "-"} ${path}: ${message}`);
  }
}

describe("a document", () => {
  it("is YAML or JSON", () => {
    expect(parseDocument("name: a # why\nlist: [{ id: x }]", Schema)).toEqual({
      name: "a",
      list: [{ id: "x" }],
    });
    expect(parseDocument('{"name": "a", "size": 3}', Schema)).toEqual({ name: "a", size: 3 });
  });

  it("may use anchors", () => {
    expect(parseDocument("map:\n  a: &x { id: y }\n  b: *x", Schema)).toEqual({
      map: { a: { id: "y" }, b: { id: "y" } },
    });
  });

  it("tells every mistake with its path and line, at the field's name", () => {
    const text = `\
size: 12
mode: c
map:
  a:
    id: ok
  b:
    id:
      - 1
  Bad: {}
list:
  - id: ok
  - {}
only:
  no
typo: 1
key: { kty: RSA }
`;
    expect(mistakesIn(text)).toEqual([
      "1 size: must be at most 9",
      "2 mode: must be one of a, b",
      "7 map.b.id: must be text (put quotes around it)",
      "9 map.Bad: use 1 to 40 lower-case letters, digits or hyphens, with no hyphen at either end",
      "12 list.1.id: is missing",
      "13 only: must be true",
      "15 typo: is not a field here",
      "16 key.kty: must be EC",
    ]);
  });

  it("places a mistake behind an alias where the value is written", () => {
    expect(mistakesIn("list:\n  - &x\n    id: 1\n  - *x\n")).toEqual([
      "3 list.0.id: must be text (put quotes around it)",
      "3 list.1.id: must be text (put quotes around it)",
    ]);
  });

  it.each([
    ["a name twice", "name: a\nname: b\n", "2 : the same name twice"],
    ["a name twice in JSON", '{"name": "a",\n"name": "b"}', "2 : the same name twice"],
    ["a bracket left open", "list: [\n", "2 : not valid YAML (BAD_INDENT)"],
    ["two documents", "name: a\n---\nname: b\n", "2 : more than one document: remove the --- between them"],
    ["a tab", "map:\n\ta: 1\n", "2 : a tab in the indentation: use spaces"],
    ["a tag", "name: !secret a\n", "1 : a tag (!) that has no meaning here"],
    ["a list for a name", "? [a]\n: 1\n", "1 : a name that is not text: put it in quotes"],
    [
      "an alias of nothing",
      "name: *nobody\n",
      "- : the YAML uses too many aliases, or one before its anchor",
    ],
    ["a __proto__", "map:\n  __proto__: { id: a }\n", "2 map.__proto__: is not a name"],
  ])("is refused for %s", (_name, text, told) => expect(mistakesIn(text)).toContain(told));

  it.each([
    ["flow lists", "[".repeat(100_000) + "]".repeat(100_000)],
    ["lists that never end", "[".repeat(1_000_000)],
    ["flow maps", "{a: ".repeat(100_000)],
    ["block lists", `${"- ".repeat(100_000)}a`],
    ["explicit names", `${"? ".repeat(100_000)}a`],
    ["indentation", Array.from({ length: 700 }, (_, depth) => `${" ".repeat(depth)}a:\n`).join("")],
  ])("is refused for %s nested too deep, before anything recurses", (_name, text) => {
    expect(mistakesIn(text)).toEqual(["- : the YAML nests too deep"]);
  });

  it("may nest as deep as any real file", () => {
    const text = `${"[".repeat(60)}${"]".repeat(60)}`;
    expect(() => readDocument(text)).not.toThrow();
    expect(() => readDocument(`# ${"[".repeat(60)}\n${"- ".repeat(60)}a`)).not.toThrow();
  });

  it("is refused for aliases that multiply", () => {
    const rows = ["a: &a [x, x, x, x, x, x, x, x, x, x]"];
    for (const [one, other] of ["ab", "bc", "cd", "de"])
      rows.push(`${other}: &${other} [${`*${one}, `.repeat(10)}]`);
    expect(mistakesIn(rows.join("\n"))).toEqual([
      "- : the YAML uses too many aliases, or one before its anchor",
    ]);
  });

  it("survives a value that contains itself", () => {
    expect(mistakesIn("map: &m\n  a: *m\n")).not.toEqual([]);
  });

  it("is refused when it is larger than any configuration", () => {
    expect(() => readDocument("#".repeat(MAX_DOCUMENT_LENGTH))).not.toThrow();
    expect(() => readDocument("#".repeat(MAX_DOCUMENT_LENGTH + 1))).toThrow("larger than 1048576 characters");
  });

  it("ends in a DocumentError or a value, whatever it holds", () => {
    const fragments = fc.constantFrom(
      ...Array.from("abc:-?&*!|>'\"%@`#,[]{}\n \t\\"),
      "map",
      "list: ",
      "\n  ",
      "<<: ",
      "---\n",
      "&a ",
      "*a ",
    );
    fc.assert(
      fc.property(fc.array(fragments, { maxLength: 60 }), (parts) => {
        expect(() => mistakesIn(parts.join(""))).not.toThrow();
      }),
      { numRuns: 2000 },
    );
  });
});

describe("what is told of a document", () => {
  const SECRET = "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA=";

  /** Every place where a key could be, by mistake or not. */
  it.each([
    ["a name", `name: ${SECRET}`],
    ["a number's place", `size: ${SECRET}`],
    ["a choice", `mode: ${SECRET}`],
    ["a constant", `only: ${SECRET}`],
    ["a URL", `url: ${SECRET}`],
    ["a date", `when: ${SECRET}`],
    ["alternatives", `either: ${SECRET}`],
    ["what tells kinds apart", `key: { kty: ${SECRET} }`],
    ["too long a text", `key: { kty: EC, x: ${SECRET} }`],
    ["an unknown field", `key: { kty: EC, d: ${SECRET} }`],
    ["a whole field", `map: ${SECRET}`],
    ["the whole document", SECRET],
    ["a name in a map", `map: { "${SECRET}": { id: a } }`],
    ["the name of an unknown field", `"${SECRET}": 1`],
    ["the name of an unknown field, without padding", `${SECRET.replace("=", "")}: 1`],
    ["a name in a map, and a mistake below it", `map: { "${SECRET}": { id: 1, x: 1 } }`],
    ["a __proto__ below it", `"${SECRET}": { __proto__: 1 }`],
    ["a text without an end", `name: "${SECRET}`],
    ["text after a value", `name: "a" ${SECRET}`],
    ["a list without an end", `list: [${SECRET}`],
    ["a text with a tab", `map:\n\t${SECRET}`],
    ["a text on the wrong line", `name: a\n${SECRET}`],
    ["a tag", `name: !${SECRET.replace("=", "")} a`],
    ["a tagged value", `name: !!binary ${SECRET}`],
    ["an alias", `name: *${SECRET}`],
    ["an anchor", `name: &${SECRET} *${SECRET}`],
    ["a name twice", `map: { "${SECRET}": { id: a }, "${SECRET}": { id: b } }`],
    ["a map for a name", `? { a: ${SECRET} }\n: 1`],
    ["a directive", `%YAML ${SECRET}\n---\nname: a`],
    ["a bad escape", `name: "\\q${SECRET}"`],
    ["a second document", `name: a\n--- ${SECRET}`],
    ["a block text with too little indentation", `name: |\n  a\n ${SECRET}`],
  ])("holds no value, even from %s", (_name, text) => {
    const told = mistakesIn(text);
    expect(told).not.toEqual([]);
    expect(told.join("\n")).not.toContain(SECRET.slice(0, 12));
  });

  it("is the error's message, a line for each mistake", () => {
    expect(() => parseDocument("size: 0\nmode: c", Schema)).toThrow(
      new DocumentError([
        { path: "size", line: 1, message: "must be at least 1" },
        { path: "mode", line: 2, message: "must be one of a, b" },
      ]),
    );
    expect(new DocumentError([{ path: "size", line: 1, message: "must be at least 1" }]).message).toBe(
      "size, line 1: must be at least 1",
    );
  });
});
