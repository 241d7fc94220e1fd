// Patterns: rows of meaning, then the same grammar asked of git itself on a real tree.

import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import * as fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TsfsaError } from "../../src/base/errors.ts";
import { compilePatterns, compileSelection } from "../../src/base/pattern.ts";
import { draws } from "../support/draws.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

/** A path that ends in `/` is a directory. */
function matches(patterns: readonly (string | Uint8Array)[], path: string): boolean {
  return compilePatterns(patterns).matches(bytes(path.replace(/\/$/, "")), path.endsWith("/"));
}

function selects(patterns: readonly string[], path: string): boolean {
  return compileSelection(patterns).selects(bytes(path.replace(/\/$/, "")), path.endsWith("/"));
}

describe("an exclude pattern", () => {
  it.each<[pattern: string, fits: string[], passes: string[]]>([
    ["cache", ["cache", "a/cache", "a/b/cache/"], ["cached", "my-cache", "cache/x"]],
    ["cache/", ["cache/", "a/cache/"], ["cache", "a/cache"]],
    ["/cache", ["cache", "cache/"], ["a/cache"]],
    ["var/cache", ["var/cache", "var/cache/"], ["a/var/cache", "var/cache/x"]],
    ["*.o", ["x.o", ".o", "a/b.o"], ["x.oo", "x.c", "o"]],
    ["/*.o", ["x.o"], ["a/x.o"]],
    ["a/*", ["a/b", "a/.b"], ["a", "a/b/c"]],
    ["a/*/c", ["a/b/c"], ["a/c", "a/b/b/c"]],
    ["a?c", ["abc", "a.c"], ["ac", "abbc"]],
    ["a/?/c", ["a/b/c"], ["a/bb/c"]],
    ["*.[ch]", ["x.c", "x.h"], ["x.d", "x."]],
    ["[!a-c]x", ["dx", "-x"], ["ax", "bx", "cx", "x"]],
    ["[^a]x", ["bx"], ["ax"]],
    ["[]a]", ["]", "a"], ["b", "[]a]"]],
    ["[a-]", ["a", "-"], ["b"]],
    ["[[:digit:]_]x", ["0x", "_x"], ["ax", ":x"]],
    ["[\\]]", ["]"], ["\\", "[\\]]"]],
    ["**/foo", ["foo", "a/foo", "a/b/foo"], ["foo/x", "afoo"]],
    ["foo/**", ["foo/a", "foo/a/b"], ["foo", "a/foo/b"]],
    ["a/**/b", ["a/b", "a/x/b", "a/x/y/b"], ["a/xb", "b", "a/b/c"]],
    ["a/**/b/**/c", ["a/b/c", "a/b/b/c/c", "a/x/b/y/z/c"], ["a/c/b", "a/b/x"]],
    ["**", ["a", "a/b"], []],
    ["a**b", ["ab", "axb"], ["a/b"]],
    ["a/x**", ["a/x", "a/xyz"], ["a/x/y"]],
    ["\\*", ["*"], ["a"]],
    ["\\!a", ["!a"], ["a"]],
    ["#a", ["#a"], ["a"]],
    ["a\\/b", ["a/b"], ["x/a/b"]],
    ["a b ", ["a b "], ["a b"]],
    ["é", ["é"], ["e"]],
    ["??", ["é", "ab"], ["a", "éa"]],
    ["\n", ["\n"], [" "]],
  ])("%j fits and passes what gitignore says", (pattern, fits, passes) => {
    for (const path of fits) expect([path, matches([pattern], path)]).toEqual([path, true]);
    for (const path of passes) expect([path, matches([pattern], path)]).toEqual([path, false]);
  });

  it("is compared byte by byte, also where names are not UTF-8", () => {
    const matcher = compilePatterns([Uint8Array.of(0x61, 0xff), "b?", "c[!a]"]);
    expect(matcher.matches(Uint8Array.of(0x61, 0xff), false)).toBe(true);
    expect(matcher.matches(Uint8Array.of(0x61, 0xfe), false)).toBe(false);
    expect(matcher.matches(Uint8Array.of(0x62, 0xff), false)).toBe(true);
    expect(matcher.matches(Uint8Array.of(0x63, 0xff), false)).toBe(true);
  });

  it("is overruled by a later one", () => {
    expect(matches(["*.log", "!keep.log"], "keep.log")).toBe(false);
    expect(matches(["!keep.log", "*.log"], "keep.log")).toBe(true);
    expect(matches(["!keep.log"], "keep.log")).toBe(false);
  });

  it("never fits the root", () => {
    expect(compilePatterns(["*", "**", "/**", "*/"]).matches(bytes(""), true)).toBe(false);
  });

  it("covers what is below an excluded directory, also where a pattern includes it again", () => {
    const matcher = compilePatterns(["/a", "!/a/b"]);
    expect(matcher.matches(bytes("a/b"), false)).toBe(false);
    expect(matcher.covers(bytes("a/b"), false)).toBe(true);
    expect(matcher.covers(bytes("b/a"), false)).toBe(false);
  });

  it.each([
    ["", "names nothing"],
    ["!", "names nothing"],
    ["/", "names nothing"],
    ["//a", "names nothing"],
    ["a//b", "empty component"],
    ["a//", "empty component"],
    ["[abc", "without its `]`"],
    ["[]", "without its `]`"],
    ["[a-", "without its `]`"],
    ["a[x/y]", "`/` in brackets"],
    ["[z-a]", "runs backwards"],
    ["[[:word:]]", "[:word:]"],
    ["[[:constructor:]]", "[:constructor:]"],
    ["a\\", "lone backslash"],
    ["./a", "`.` or `..` component"],
    ["a/../b", "`.` or `..` component"],
    ["a\0b", "NUL"],
  ])("%j is refused as a usage error", (pattern, reason) => {
    const compile = (): unknown => compilePatterns(["fine", pattern]);
    expect(compile).toThrowError(TsfsaError);
    expect(compile).toThrowError(reason);
    expect(compile).toThrowError(expect.objectContaining({ code: "USAGE" }));
  });

  it("takes linear-ish time where a careless matcher takes exponential", () => {
    const hostile = [`${"*a".repeat(60)}*b`, `${"**/a/".repeat(60)}b`, `${"**/*a*a*a*a/".repeat(20)}*b`];
    const names = ["a".repeat(255), "a/".repeat(2000).slice(0, -1), `${"a".repeat(200)}/`.repeat(20).slice(0, -1)];
    const started = performance.now();
    for (const path of names) expect(compilePatterns(hostile).covers(bytes(`${path}c`), false)).toBe(false);
    expect(performance.now() - started).toBeLessThan(10_000);
  });
});

describe("a selection", () => {
  it("of nothing is everything", () => {
    expect(compileSelection([]).empty).toBe(true);
    expect(selects([], "a/b")).toBe(true);
    expect(selects([], "")).toBe(true);
  });

  it("holds what a pattern fits and everything below it", () => {
    expect(selects(["/etc"], "etc/")).toBe(true);
    expect(selects(["/etc"], "etc/ssh/sshd_config")).toBe(true);
    expect(selects(["/etc"], "usr/etc/x")).toBe(false);
    expect(selects(["etc/"], "usr/etc/x")).toBe(true);
    expect(selects(["etc/"], "usr/etc")).toBe(false);
    expect(selects(["/etc"], "")).toBe(false);
  });

  it("leaves out what a later pattern with `!` fits, at the deepest level that any pattern fits", () => {
    const patterns = ["/usr", "!/usr/share", "/usr/share/doc"];
    expect(selects(patterns, "usr/bin/x")).toBe(true);
    expect(selects(patterns, "usr/share/x")).toBe(false);
    expect(selects(patterns, "usr/share/doc/x")).toBe(true);
  });

  it("begins with everything when the first pattern says what not to select", () => {
    expect(selects(["!*.o"], "a/x.c")).toBe(true);
    expect(selects(["!*.o"], "a/x.o")).toBe(false);
  });
});

describe("a directory that is not selected", () => {
  it.each<[pattern: string, may: string[], cannot: string[]]>([
    ["/home/*/x", ["", "home", "home/a"], ["etc", "home/a/x", "home/a/b"]],
    ["/home", [""], ["home", "etc"]],
    ["home", ["", "etc", "a/b"], []],
    ["a/**/b", ["", "a", "a/c", "a/c/d"], ["b"]],
    ["!x", ["", "x", "a"], []],
  ])("may hold what %j selects only on the way there", (pattern, may, cannot) => {
    const selection = compileSelection([pattern]);
    for (const directory of may) expect([directory, selection.mayHold(bytes(directory))]).toEqual([directory, true]);
    for (const directory of cannot)
      expect([directory, selection.mayHold(bytes(directory))]).toEqual([directory, false]);
  });
});

describe("against git", () => {
  // Every path of depth 1 to 3 over these names; the inner ones are directories.
  const names = ["a", "b", "ab", "a.b", "*", "!a"];
  const paths: { path: string; directory: boolean }[] = [];
  let repository = "";
  const git = (...words: string[]): string[] => ["-c", "core.excludesFile=/dev/null", "-C", repository, ...words];

  beforeAll(() => {
    repository = mkdtempSync(join(tmpdir(), "tsfsa-pattern-"));
    execFileSync("git", git("init", "-q"));
    for (const first of names) {
      for (const second of names) {
        for (const third of names.slice(0, 3)) {
          const path = `${first}/${second}/${third}`;
          mkdirSync(join(repository, dirname(path)), { recursive: true });
          writeFileSync(join(repository, path), "");
          paths.push({ path, directory: false });
        }
        paths.push({ path: `${first}/${second}`, directory: true });
      }
      paths.push({ path: first, directory: true });
    }
    for (const name of names) {
      writeFileSync(join(repository, `${name}c`), "");
      paths.push({ path: `${name}c`, directory: false });
    }
  });
  afterAll(() => rmSync(repository, { recursive: true, force: true }));

  // No `**` beside other bytes: gitignore(5) calls it a plain `*`, but git 2.39 strips the literal head of a pattern first and
  // so takes the `**` of `a**/b` for a whole component.
  const piece = fc.constantFrom("a", "b", "c", "*", "?", "[ab]", "[!b]", "[a-c]", "\\*", "\\a", ".", "[[:punct:]]");
  const component = fc.oneof(
    {
      weight: 4,
      arbitrary: fc
        .array(piece, { minLength: 1, maxLength: 3 })
        .map((pieces) => pieces.join("").replaceAll(/\*{2,}/g, "*")),
    },
    { weight: 1, arbitrary: fc.constant("**") },
  );
  const pattern = fc
    .tuple(
      fc.constantFrom("", "", "!"),
      fc.constantFrom("", "", "/"),
      fc.array(
        component.filter((text) => !/^\.{1,2}$/.test(text)),
        { minLength: 1, maxLength: 4 },
      ),
      fc.constantFrom("", "", "/"),
    )
    .map(([negation, root, components, directory]) => negation + root + components.join("/") + directory);

  it("excludes what `git check-ignore` ignores, whatever the patterns", () => {
    const input = paths.map(({ path }) => `${path}\0`).join("");
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), (patterns) => {
        writeFileSync(join(repository, ".gitignore"), patterns.map((line) => `${line}\n`).join(""));
        const matcher = compilePatterns(patterns);
        const ours = paths
          .filter(({ path, directory }) => matcher.covers(bytes(path), directory))
          .map(({ path }) => path);
        expect(ours).toEqual(checkIgnore(input));
      }),
      { numRuns: draws(300) },
    );
  });

  it("finds no selected path below a directory that neither is selected nor may hold one", () => {
    fc.assert(
      fc.property(fc.array(pattern, { minLength: 1, maxLength: 4 }), (patterns) => {
        const selection = compileSelection(patterns);
        const taken = (path: string, directory: boolean): boolean => selection.selects(bytes(path), directory);
        for (const { path, directory } of paths.filter((found) => taken(found.path, found.directory))) {
          for (let above = dirname(path); above !== "."; above = dirname(above)) {
            expect([path, above, taken(above, true) || selection.mayHold(bytes(above))]).toEqual([path, above, true]);
          }
          expect([path, directory, selection.mayHold(bytes(""))]).toEqual([path, directory, true]);
        }
      }),
      { numRuns: draws(300) },
    );
  });

  function checkIgnore(input: string): string[] {
    try {
      const output = execFileSync("git", git("check-ignore", "--no-index", "-z", "--stdin"), {
        input,
        encoding: "utf8",
      });
      return output.split("\0").slice(0, -1);
    } catch (error) {
      if ((error as { status?: number }).status === 1) return []; // none is ignored
      throw error;
    }
  }
});
