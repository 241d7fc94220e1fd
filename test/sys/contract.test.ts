import { readFileSync } from "node:fs";
import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { addon } from "../../src/sys/addon.ts";
import * as layouts from "../../src/sys/layout.ts";
import { EBADF } from "../../src/sys/errors.ts";
import { bytes, empty } from "./scratch.ts";

const source = (path: string): string => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8");

/** Whether a range lies in 64 bytes. */
const inside = (at: number, size: number): boolean =>
  Number.isSafeInteger(at) && Number.isSafeInteger(size) && at >= 0 && size >= 0 && at + size <= 64;

/** True when the call went through; it may throw RangeError only. */
const outcome = (call: () => unknown): boolean => {
  try {
    call();
    return true;
  } catch (error) {
    expect(error).toBeInstanceOf(RangeError);
    return false;
  }
};

describe("the addon", () => {
  it("offers exactly the functions of its interface", () => {
    const declared = [...source("src/sys/addon.ts").matchAll(/^ {2}(\w+)\(/gm)].map((match) => match[1]);
    expect(declared.length).toBeGreaterThan(50);
    expect(new Set(Object.keys(addon()))).toEqual(new Set(declared));
  });

  it.each([
    ["stat", layouts.statLayout],
    ["gather", layouts.gatherLayout],
    ["entry", layouts.entryLayout],
  ])("holds the %s record to the offsets of layout.ts", (name, layout) => {
    const header = source("native/src/layout.h");
    const fields = [...header.matchAll(/^FIELD\((\w+)_record, (\w+), (\d+)\);/gm)]
      .filter((match) => match[1] === name)
      .map((match) => [match[2], Number(match[3])]);
    const size = new RegExp(`sizeof\\(struct ${name}_record\\) == (\\d+)`).exec(header)?.[1];
    expect({ size: Number(size), ...Object.fromEntries(fields) }).toEqual(layout);
  });

  it("has the scatter steps of layout.ts", () => {
    const flags = [...source("native/src/layout.h").matchAll(/SCATTER_(\w+) = (\d+)/g)].map((match) => [
      (match[1] as string).toLowerCase().replace(/_(\w)/g, (_, letter: string) => letter.toUpperCase()),
      Number(match[2]),
    ]);
    expect(Object.fromEntries(flags)).toEqual(layouts.scatterSteps);
  });

  it("has the entry flags and the states of layout.ts", () => {
    const flags = [...source("native/src/layout.h").matchAll(/ENTRY_(\w+) = (\d+)/g)];
    expect(flags.map(([, name, value]) => [(name as string).toLowerCase(), Number(value)])).toEqual(
      Object.entries(layouts.entryFlags),
    );
    for (const [path, layout] of [
      ["place", layouts.placeLayout],
      ["plan", layouts.planLayout],
    ] as const) {
      const state = /enum \{ (STATE_.*?) \}/.exec(source(`native/src/${path}.c`))?.[1]?.split(", ");
      const names = (state ?? []).map((name) => name.replace("STATE_", "").toLowerCase());
      const { length, ...fields } = layout;
      expect(Object.fromEntries(names.map((name, index) => [name, index]))).toEqual({ ...fields, count: length });
    }
    const rowMax = /ROW_MAX = (\d+)/.exec(source("native/src/row.h"))?.[1];
    expect(Number(rowMax)).toBe(layouts.plainRowMax);
  });

  it("throws TypeError for arguments of a wrong type and for too few", () => {
    const loose = addon() as unknown as Record<string, (...values: unknown[]) => unknown>;
    const call =
      (name: string, ...values: unknown[]) =>
      () =>
        loose[name]?.(...values);
    for (const name of Object.keys(loose)) {
      if (name === "lastMountMessage" || name === "openFileLimit") continue;
      expect(call(name), name).toThrow(TypeError);
    }
    expect(call("openAt", 3, "a string", 0, 0, 0)).toThrow(TypeError);
    expect(call("openAt", 3, new Uint16Array(2), 0, 0, 0)).toThrow(TypeError);
    expect(call("openAt", "3", empty, 0, 0, 0)).toThrow(TypeError);
    expect(call("getExtendedFlags", 3, new Uint8Array(64))).toThrow(TypeError);
    expect(call("mountDetached", "ext4", "/dev/null", "ro", 0)).toThrow(TypeError);
    expect(call("mountDetached", "ext4", "/dev/null", [5], 0)).toThrow(TypeError);
    expect(call("extentMap", 3, 0, 1, 1, 1)).toThrow(TypeError);
  });

  it("throws RangeError for numbers that are not whole or out of range", () => {
    for (const wrong of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, -(2 ** 31) - 1]) {
      expect(() => addon().close(wrong), String(wrong)).toThrow(RangeError);
    }
    expect(() => addon().openAt(3, empty, -1, 0, 0)).toThrow(RangeError);
    expect(() => addon().truncate(3, 2 ** 53 + 2)).toThrow(RangeError);
    expect(() => addon().hasCapability(64)).toThrow(RangeError);
  });

  it("refuses names with NUL and names longer than any path", () => {
    expect(() => addon().mkdirAt(3, bytes("a\0b"), 0)).toThrow(TypeError);
    expect(() => addon().mkdirAt(3, new Uint8Array(4096).fill(97), 0)).toThrow(RangeError);
    expect(() => addon().getAttribute(3, empty, new Uint8Array(256).fill(97))).toThrow(RangeError);
    expect(() => addon().mountDetached("e\0xt4", "x", [], 0)).toThrow(TypeError);
    expect(() => addon().mountDetached("x".repeat(256), "x", [], 0)).toThrow(RangeError);
  });

  it("touches nothing outside of its arrays, whatever ranges it is given", () => {
    const edge = fc.oneof(
      fc.integer({ min: -2, max: 70 }),
      fc.constantFrom(2 ** 31, 2 ** 32, 2 ** 53, 2 ** 64, -1, 0.5, Number.NaN, Infinity),
    );
    fc.assert(
      fc.property(edge, edge, edge, (offset, length, outOffset) => {
        const area = new Uint8Array(128).fill(7);
        const middle = area.subarray(32, 96);
        expect(outcome(() => addon().isZero(middle, offset, length))).toBe(inside(offset, length));
        expect(outcome(() => addon().crc32c(0, middle, offset, length))).toBe(inside(offset, length));
        expect(outcome(() => addon().xxh64(middle, offset, length, middle, outOffset))).toBe(
          inside(offset, length) && inside(outOffset, 8),
        );
        expect(outcome(() => addon().xxh128(middle, offset, length, middle, outOffset))).toBe(
          inside(offset, length) && inside(outOffset, 16),
        );
        expect(outcome(() => addon().read(-1, middle, offset, length, 0))).toBe(inside(offset, length));
        expect(outcome(() => addon().write(-1, middle, offset, length, 0))).toBe(inside(offset, length));
        const ranges = [new Float64Array([offset]), new Float64Array([length])] as const;
        expect(outcome(() => addon().digestFiles(middle, ...ranges, 1, middle))).toBe(inside(offset, length));
        const files = [new Int32Array([1_000_000]), new Float64Array([length]), new Float64Array([offset])] as const;
        expect(outcome(() => addon().readFiles(...files, 1, middle, empty, new Float64Array(1), empty))).toBe(
          inside(offset, length),
        );
        expect(area.subarray(0, 32).every((byte) => byte === 7)).toBe(true);
        expect(area.subarray(96).every((byte) => byte === 7)).toBe(true);
      }),
    );
  });

  it("returns −errno of the system call instead of throwing", () => {
    expect(addon().close(-1)).toBe(-EBADF);
    expect(addon().readDirectory(-1)).toBe(-EBADF);
    expect(addon().statAt(-1, empty, new Uint8Array(128))).toBe(-EBADF);
    expect(addon().read(-1, new Uint8Array(1), 0, 1, 0)).toBe(-EBADF);
    expect(addon().listAttributes(-1, empty)).toBe(-EBADF);
    expect(addon().dataMap(-1, 1, 1)).toBe(-EBADF);
    expect(addon().deviceSize(-1)).toBe(-EBADF);
    expect(addon().thaw(-1)).toBe(-EBADF);
  });
});
