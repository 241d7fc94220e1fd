import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { EntryFilter } from "../../src/save/filter.ts";

const bytes = (text: string): Buffer => Buffer.from(text, "latin1");

describe("EntryFilter", () => {
  it("is empty without patterns and without a list, and takes everything", () => {
    const filter = new EntryFilter({ excludes: [], only: undefined });
    expect(filter.empty).toBe(true);
    expect(filter.accepts(bytes("a/b"), false)).toBe(true);
  });

  it("takes of a list the paths, what is below them and the directories above them, and nothing else", () => {
    const filter = new EntryFilter({ excludes: [], only: [bytes("a/b"), bytes("c\xff")] });
    const taken = (path: string, isDirectory = false): boolean => filter.accepts(bytes(path), isDirectory);
    expect([taken("a", true), taken("a/b"), taken("a/b/c/d"), taken("c\xff")]).toEqual([true, true, true, true]);
    expect([taken("a/bc"), taken("a/c"), taken("b"), taken("c")]).toEqual([false, false, false, false]);
    expect(taken("a", false), "a file where the list has a directory").toBe(false);
  });

  it("excludes what a pattern matches even where the list names it", () => {
    const filter = new EntryFilter({ excludes: ["*.o"], only: [bytes("a")] });
    expect(filter.accepts(bytes("a/x.o"), false)).toBe(false);
    expect(filter.accepts(bytes("a/x.c"), false)).toBe(true);
  });

  it("takes every directory above what it takes", () => {
    const component = fc.constantFrom("a", "b", "c");
    const path = fc.array(component, { minLength: 1, maxLength: 5 }).map((names) => names.join("/"));
    fc.assert(
      fc.property(fc.array(path, { maxLength: 4 }), path, (only, asked) => {
        const filter = new EntryFilter({ excludes: [], only: only.map(bytes) });
        if (!filter.accepts(bytes(asked), false)) return;
        const names = asked.split("/");
        for (let depth = 1; depth < names.length; depth++) {
          expect(filter.accepts(bytes(names.slice(0, depth).join("/")), true)).toBe(true);
        }
      }),
    );
  });
});

describe("patterns of what is wanted", () => {
  const accepts = (includes: readonly string[], path: string, isDirectory = false): boolean =>
    new EntryFilter({ excludes: ["*.o"], includes, only: undefined }).accepts(Buffer.from(path), isDirectory);

  it("take what one fits, with everything below, and enter what may lead there", () => {
    expect(accepts(["/a/b"], "a", true)).toBe(true);
    expect(accepts(["/a/b"], "a/b/c/d")).toBe(true);
    expect(accepts(["/a/b"], "a/x")).toBe(false);
    expect(accepts(["/a/b"], "c", true)).toBe(false);
    expect(accepts(["*.txt"], "c", true)).toBe(true);
    expect(accepts(["*.txt"], "c/x.txt")).toBe(true);
    expect(accepts(["*.txt"], "c/x.c")).toBe(false);
  });

  it("take nothing that is excluded, and everything where there are none", () => {
    expect(accepts(["/a"], "a/x.o")).toBe(false);
    expect(accepts([], "any/thing")).toBe(true);
    expect(new EntryFilter({ excludes: [], includes: [], only: undefined }).empty).toBe(true);
    expect(new EntryFilter({ excludes: [], includes: ["x"], only: undefined }).empty).toBe(false);
  });
});
