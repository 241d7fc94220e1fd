import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { CompareOptions } from "../../src/model/difference.ts";
import { EntryKind, type ExtendedAttribute } from "../../src/model/entry.ts";
import { compareAttributes, compareProperties, type EntryProperties } from "../../src/restore/compare-fields.ts";
import { attributes, timestamp } from "../format/arbitraries.ts";

const all: CompareOptions = { holes: true, atime: true, btime: true };
const plain: CompareOptions = { holes: false, atime: false, btime: false };

function properties(fields: Partial<EntryProperties> = {}): EntryProperties {
  const time = { seconds: 0, nanoseconds: 0 };
  return {
    kind: EntryKind.file,
    mode: 0o644,
    uid: 0,
    gid: 0,
    size: 0,
    mtime: time,
    atime: time,
    inodeFlags: 0,
    projectId: 0,
    ...fields,
  };
}

describe("compared properties", () => {
  it.each<[Partial<EntryProperties>, Partial<EntryProperties>, string, string, string]>([
    [{ mode: 0o4755 }, { mode: 0o5 }, "mode", "4755", "0005"],
    [{ uid: 1 }, { gid: 2 }, "owner", "1:0", "0:2"],
    [{ size: 7 }, { size: 8 }, "size", "7", "8"],
    [{ projectId: 5 }, {}, "project", "5", "0"],
    [{ inodeFlags: 0x10 | 0x80000 }, { inodeFlags: 0x40 }, "flags", "i", "d"],
    [{ mtime: { seconds: 1, nanoseconds: 5 } }, {}, "mtime", "1.000000005", "0.000000000"],
    [{ mtime: { seconds: -1, nanoseconds: 500_000_000 } }, {}, "mtime", "-0.500000000", "0.000000000"],
    [{ mtime: { seconds: -2, nanoseconds: 1 } }, {}, "mtime", "-1.999999999", "0.000000000"],
    [{ mtime: { seconds: -2, nanoseconds: 0 } }, {}, "mtime", "-2.000000000", "0.000000000"],
    [{ kind: EntryKind.fifo, mode: 1, uid: 1 }, { kind: EntryKind.socket }, "kind", "fifo", "socket"],
    [{ symlinkTarget: Buffer.from("a\n") }, { symlinkTarget: Buffer.from("b") }, "target", "a\\n", "b"],
    [{ device: { major: 8, minor: 1 } }, { device: { major: 8, minor: 2 } }, "device", "8:1", "8:2"],
    [{ btime: { seconds: 3, nanoseconds: 0 } }, {}, "btime", "3.000000000", "unknown"],
  ])("%j and %j differ in %s: %s, %s", (left, right, field, archived, found) => {
    expect(compareProperties(properties(left), properties(right), all)).toEqual([{ field, archived, found }]);
  });

  it("leave out access and birth times unless they are asked for, and what describes how a file is stored", () => {
    const time = { seconds: 9, nanoseconds: 9 };
    const left = properties({ atime: time, btime: time, inodeFlags: 0x80000 });
    expect(compareProperties(left, properties(), plain)).toEqual([]);
    expect(compareProperties(left, properties(), all).map(({ field }) => field)).toEqual(["atime", "btime"]);
  });

  it("tell times exactly: equal ones alone are the same", () => {
    fc.assert(
      fc.property(timestamp, timestamp, (left, right) => {
        const isSame = left.seconds === right.seconds && left.nanoseconds === right.nanoseconds;
        const found = compareProperties(properties({ mtime: left }), properties({ mtime: right }), plain);
        expect(found).toHaveLength(isSame ? 0 : 1);
      }),
    );
  });
});

describe("compared attributes", () => {
  it("are the same in any order, and each that is not is named", () => {
    fc.assert(
      fc.property(attributes, attributes, (left, right) => {
        expect(compareAttributes(left, left.toReversed())).toEqual([]);
        const texts = (list: readonly ExtendedAttribute[]): Map<string, string> =>
          new Map(
            list.map(({ name, value }) => [Buffer.from(name).toString("hex"), Buffer.from(value).toString("hex")]),
          );
        const [before, after] = [texts(left), texts(right)];
        const expected = [...new Set([...before.keys(), ...after.keys()])].filter(
          (name) => before.get(name) !== after.get(name),
        );
        const found = compareAttributes(left, right).map(({ name }) => Buffer.from(name ?? []).toString("hex"));
        expect(found.toSorted()).toEqual(expected.toSorted());
      }),
    );
  });
});
