import { closeSync, openSync, readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { type ReadOutcome, readRange } from "../../src/save/content.ts";

const page = 4096;

/** Where readable pages of this process's memory end before a gap: /proc/self/mem gives EIO from there on, as a bad disk does. */
function endOfMemory(): { readonly end: number; readonly pages: number } {
  const ranges = readFileSync("/proc/self/maps", "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [, from = "", to = "", mode = ""] = /^([0-9a-f]+)-([0-9a-f]+) (\S+)/.exec(line) ?? [];
      return { start: Number.parseInt(from, 16), end: Number.parseInt(to, 16), mode };
    });
  for (const [i, { start, end, mode }] of ranges.entries()) {
    const next = ranges[i + 1];
    const isBeforeGap = next === undefined || next.start - end >= 16 * page;
    // Nothing writes there: reading twice gives the same (the vDSO, if nothing else).
    if (mode.startsWith("r-") && isBeforeGap && Number.isSafeInteger(end)) return { end, pages: (end - start) / page };
  }
  throw new Error("no readable mapping before a gap");
}

describe("readRange", () => {
  it("keeps what can be read around what cannot, and names the rest in pieces of 4 KiB, joined", () => {
    const { end, pages } = endOfMemory();
    const readable = Math.min(3, pages) * page;
    const fd = openSync("/proc/self/mem", "r");
    try {
      const target = new Uint8Array(8 * page + 100).fill(0xee);
      const outcome: ReadOutcome = { damaged: [], short: false, errno: 0 };
      const position = end - readable;
      readRange(fd, target, 100, 8 * page, position, outcome);
      expect(outcome).toEqual({ damaged: [{ offset: end, length: 8 * page - readable }], short: false, errno: 5 });
      expect(target.subarray(0, 100).every((byte) => byte === 0xee)).toBe(true);
      expect(target.subarray(100 + readable).every((byte) => byte === 0)).toBe(true);
      const before = new Uint8Array(readable);
      readRange(fd, before, 0, readable, position, { damaged: [], short: false, errno: 0 });
      expect(target.subarray(100, 100 + readable)).toEqual(before);
    } finally {
      closeSync(fd);
    }
  });

  it("fills up with zeros what lies behind the end of the file, and says that it was short", () => {
    const fd = openSync(import.meta.filename, "r");
    try {
      const { length } = readFileSync(import.meta.filename);
      const target = new Uint8Array(100).fill(0xee);
      const outcome: ReadOutcome = { damaged: [], short: false, errno: 0 };
      readRange(fd, target, 0, 100, length - 10, outcome);
      expect(outcome).toEqual({ damaged: [], short: true, errno: 0 });
      expect(target.subarray(10).every((byte) => byte === 0)).toBe(true);
      expect(target.subarray(0, 10)).toEqual(new Uint8Array(readFileSync(import.meta.filename).subarray(-10)));
    } finally {
      closeSync(fd);
    }
  });
});
