import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { fromBase64, fromHex, utf8 } from "../../src/base/bytes.ts";
import {
  escapeName,
  formatDuration,
  formatRate,
  formatRanges,
  formatSize,
  parseSize,
  pathJson,
  shellWord,
} from "../../src/base/units.ts";

const MiB = 1024 * 1024;

/** Every code point but surrogates; fast-check's own unit "binary" takes seconds to set up. */
const anyText = fc
  .array(fc.oneof(fc.nat(0x2fff), fc.integer({ min: 0xe000, max: 0x10_ffff })), { maxLength: 30 })
  .map((points) => String.fromCodePoint(...points));

/** Undoes escapeName(): what a shell's $'…' would give. */
function unescapeName(text: string): Uint8Array {
  const bytes: number[] = [];
  const short: Record<string, number> = { a: 7, b: 8, t: 9, n: 10, v: 11, f: 12, r: 13, "\\": 92 };
  for (const [, octal, letter, plain] of text.matchAll(/\\([0-7]{3})|\\(.)|([^\\])/gsu)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (letter !== undefined) bytes.push(short[letter] as number);
    else bytes.push(...utf8(plain as string));
  }
  return Uint8Array.from(bytes);
}

describe("names for a terminal", () => {
  test("show printable text as it is", () => {
    for (const text of ["a b'\"$*", "größe", "日本語", "😀", "é"]) expect(escapeName(utf8(text))).toBe(text);
  });

  test("show controls, backslash, C1, bidirectional controls and broken UTF-8 as escapes", () => {
    expect(escapeName(utf8("a\nb\t\u001b[31m\\"))).toBe("a\\nb\\t\\033[31m\\\\");
    expect(escapeName(utf8("x\u009b31m"))).toBe("x\\302\\23331m");
    expect(escapeName(utf8("a\u202egnp.exe\u2066\u200f\ufeff\u2028"))).toMatch(/^[\x20-\x7e]+$/);
    expect(escapeName(fromHex("ff41e28241eda080c0af") as Uint8Array)).toBe(
      "\\377A\\342\\202A\\355\\240\\200\\300\\257",
    );
    expect(escapeName(fromHex("7f00") as Uint8Array)).toBe("\\177\\000");
  });

  test("can be read back to the same bytes, and never hold a control character", () => {
    const name = fc.oneof(fc.uint8Array({ maxLength: 60 }), anyText.map(utf8));
    fc.assert(
      fc.property(name, (bytes) => {
        const text = escapeName(bytes);
        expect(unescapeName(text)).toEqual(bytes);
        // biome-ignore lint/suspicious/noControlCharactersInRegex: this is what must not be there
        expect(text).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
      }),
    );
  });

  test("stand in JSON as text, or as base64 where they are not UTF-8", () => {
    expect(pathJson(utf8("ä\n"))).toEqual({ path: "ä\n" });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const json = JSON.parse(JSON.stringify(pathJson(bytes))) as { path?: string; pathBase64?: string };
        expect(json.path === undefined ? fromBase64(json.pathBase64 as string) : utf8(json.path)).toEqual(bytes);
      }),
    );
  });
});

describe("sizes", () => {
  test("are read in binary and decimal units", () => {
    const cases: [string, number][] = [
      ["0", 0],
      ["4194304", 4 * MiB],
      ["4MiB", 4 * MiB],
      ["4 mib", 4 * MiB],
      ["4M", 4 * MiB],
      ["4MB", 4_000_000],
      ["1.5 GiB", 1536 * MiB],
      ["0.5k", 512],
      ["7b", 7],
    ];
    for (const [text, bytes] of cases) expect(parseSize(text)).toBe(bytes);
  });

  test("in any other spelling are refused", () => {
    for (const text of ["", "MiB", "-1", "1e3", "1.3", "4 M iB", "4Mi", "0x10", "9999999999999999PiB", "1,5M", "NaN"]) {
      expect(parseSize(text)).toBeUndefined();
    }
  });

  test("are printed with three or four digits", () => {
    const cases: [number, string][] = [
      [0, "0 B"],
      [1023, "1023 B"],
      [1024, "1 KiB"],
      [1536, "1.5 KiB"],
      [MiB - 1, "1 MiB"],
      [4 * MiB, "4 MiB"],
      [100 * MiB, "100 MiB"],
      [1_234_567_890, "1.15 GiB"],
      [2 ** 53, "8 PiB"],
    ];
    for (const [bytes, text] of cases) expect(formatSize(bytes)).toBe(text);
    expect(formatRate(210 * MiB)).toBe("210 MiB/s");
  });

  test("are printed within one percent of what they are", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }), (bytes) => {
        const [number, unit] = formatSize(bytes).split(" ") as [string, string];
        const scale = 1024 ** ["B", "KiB", "MiB", "GiB", "TiB", "PiB"].indexOf(unit);
        expect(Math.abs(Number(number) * scale - bytes) / bytes).toBeLessThanOrEqual(0.01);
      }),
    );
  });
});

describe("ranges", () => {
  test("are named by their first and last byte, the first of many", () => {
    expect(formatRanges([0, 4096, 8192, 1])).toBe("bytes 0 to 4095, 8192 to 8192");
    expect(formatRanges(Float64Array.from({ length: 18 }, (_, i) => i))).toMatch(/^bytes 0 to 0, .* and 1 more place$/);
  });
});

describe("durations", () => {
  test("are printed in at most two units", () => {
    const cases: [number, string][] = [
      [0.04, "0.0 s"],
      [12.34, "12.3 s"],
      [59.96, "1 min 00 s"],
      [185, "3 min 05 s"],
      [3599.9, "1 h 00 min"],
      [7380, "2 h 03 min"],
      [90_000, "1 d 01 h"],
    ];
    for (const [seconds, text] of cases) expect(formatDuration(seconds)).toBe(text);
  });
});

describe("a word for a shell", () => {
  test.each([
    ["plain", "plain"],
    ["/dev/vg/a-b_c,d=e:f@g%h+^i", "/dev/vg/a-b_c,d=e:f@g%h+^i"],
    ["", "''"],
    ["two words", "'two words'"],
    ['$(id) `x` "y" \\', "'$(id) `x` \"y\" \\'"],
    ["it's", "'it'\\''s'"],
    ["größe", "'größe'"],
    ["a\nb'\u001b\\", "$'a\\012b\\047\\033\\134'"],
  ])("%j is %s", (text, word) => {
    expect(shellWord(new TextEncoder().encode(text))).toBe(word);
  });

  test("has bytes that are not UTF-8 in octal", () => {
    expect(shellWord(Uint8Array.of(0x61, 0xff))).toBe("$'a\\377'");
  });
});
