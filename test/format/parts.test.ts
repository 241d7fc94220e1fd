// The parts tar members are made of: ACLs, sparse maps, PAX numbers and times.

import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, decodeUtf8, fromHex, utf8 } from "../../src/base/bytes.ts";
import { aclFromText, aclToText } from "../../src/format/acl.ts";
import { decimalLength, encodeAttributeName, paxRecordLength, writeDecimal, writeTime } from "../../src/format/pax.ts";
import { decodeSparseMap, encodeSparseMap, sparseDataLength } from "../../src/format/sparse.ts";
import { splitName } from "../../src/format/ustar.ts";
import { sparseLayout, timestamp } from "./arbitraries.ts";
import type { Extent } from "../../src/model/entry.ts";
import { codeOf, readingOutcomes } from "./expect.ts";

const noId = 0xffff_ffff;

function aclOf(entries: readonly (readonly [tag: number, permissions: number, id: number])[], version = 2): Uint8Array {
  const writer = new ByteWriter();
  writer.u32(version);
  for (const [tag, permissions, id] of entries) {
    writer.u16(tag);
    writer.u16(permissions);
    writer.u32(id);
  }
  return writer.take();
}

const permissions = fc.nat(7);
const named = (tag: number): fc.Arbitrary<[number, number, number][]> =>
  fc.array(
    fc.tuple(permissions, fc.oneof(fc.nat(70_000), fc.constant(0xffff_fffe))).map(([bits, id]) => [tag, bits, id]),
    { maxLength: 4 },
  );

const acl = fc
  .tuple(permissions, named(2), permissions, named(8), permissions, permissions, fc.boolean())
  .map(([user, users, group, groups, mask, other, withMask]) =>
    aclOf([
      [1, user, noId],
      ...users,
      [4, group, noId],
      ...groups,
      ...(withMask || users.length + groups.length > 0 ? [[16, mask, noId] as const] : []),
      [32, other, noId],
    ]),
  );

describe("ACLs", () => {
  test("go to text and back to the same bytes", () => {
    fc.assert(
      fc.property(acl, (value) => {
        const text = aclToText(value) as Uint8Array;
        expect(decodeUtf8(text)).toMatch(
          /^((user|group):\d*:[r-][w-][x-]|(mask|other)::[r-][w-][x-])(,(user|group):\d*:[r-][w-][x-]|,(mask|other)::[r-][w-][x-])*$/,
        );
        expect(aclFromText(text)).toEqual(value);
      }),
    );
  });

  test("have the text of the specification", () => {
    const value = aclOf([
      [1, 7, noId],
      [2, 5, 99],
      [4, 5, noId],
      [16, 7, noId],
      [32, 4, noId],
    ]);
    expect(decodeUtf8(aclToText(value) as Uint8Array)).toBe("user::rwx,user:99:r-x,group::r-x,mask::rwx,other::r--");
  });

  test("that the kernel would refuse have no text", () => {
    const minimal: (readonly [number, number, number])[] = [
      [1, 7, noId],
      [4, 5, noId],
      [32, 4, noId],
    ];
    expect(aclToText(aclOf(minimal))).toBeDefined();
    for (const value of [
      new Uint8Array(0),
      aclOf([]),
      aclOf(minimal, 1),
      aclOf(minimal).subarray(0, -1),
      aclOf(minimal.slice(1)),
      aclOf(minimal.toReversed()),
      aclOf([...minimal, [32, 4, noId]]),
      aclOf([[1, 8, noId], ...minimal.slice(1)]),
      aclOf([[1, 7, 5], ...minimal.slice(1)]),
      aclOf([[1, 7, noId], [2, 7, 5], ...minimal.slice(1)]), // a named entry without mask
      aclOf([
        [1, 7, noId],
        [2, 7, noId],
        [4, 5, noId],
        [16, 7, noId],
        [32, 4, noId],
      ]),
      aclOf([...minimal.slice(0, 2), [64, 7, noId], [32, 4, noId]]),
    ]) {
      expect(aclToText(value)).toBeUndefined();
    }
  });

  test("in any other spelling are not read", () => {
    for (const text of [
      "",
      "user::rwx",
      "user::rwx,group::r-x,other::r--,",
      "user::rwx,group::r-x,other::r--\n",
      "user::rwx\ngroup::r-x\nother::r--",
      "u::rwx,g::r-x,o::r--",
      "user::7,group::5,other::4",
      "user::rwx,user:root:rwx,group::r-x,mask::rwx,other::r--",
      "user::rwx,user:007:rwx,group::r-x,mask::rwx,other::r--",
      "user::rwx,user:4294967295:rwx,group::r-x,mask::rwx,other::r--",
      "user::rwx,user:9999999999:rwx,group::r-x,mask::rwx,other::r--",
      "user::rwx,group::r-x,mask:5:rwx,other::r--",
      "group::r-x,user::rwx,other::r--",
    ]) {
      expect([text, aclFromText(utf8(text))]).toEqual([text, undefined]);
    }
    expect(aclFromText(fromHex("ff") as Uint8Array)).toBeUndefined();
  });

  test("made of random bytes never throw", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
        const text = aclToText(bytes);
        if (text !== undefined) expect(aclFromText(text)).toEqual(bytes);
        const value = aclFromText(bytes);
        if (value !== undefined) expect(aclToText(value)).toEqual(bytes);
      }),
    );
  });
});

/** Extents from pairs of offset and length. */
function segments(...pairs: [offset: number, length: number][]): Extent[] {
  return pairs.map(([offset, length]) => ({ offset, length }));
}

/** The numbers of a map, without its padding. */
function mapText(realSize: number, ...extents: Extent[]): string {
  const map = decodeUtf8(encodeSparseMap({ realSize, segments: extents })) as string;
  return map.replace(/\0+$/, "");
}

/** Outcome of reading a map of 512 bytes for a file of 4096. */
function readingOf(text: string): string {
  const bytes = new Uint8Array(512);
  bytes.set(utf8(text));
  return codeOf(() => decodeSparseMap(bytes, 0, 4096));
}

describe("sparse maps", () => {
  test("come back with size and segments, and their length is a multiple of 512", () => {
    fc.assert(
      fc.property(sparseLayout, fc.nat(3), (layout, before) => {
        const map = encodeSparseMap(layout);
        expect(map.length % 512).toBe(0);
        const tar = new Uint8Array(before * 512 + map.length + 512).fill(1);
        tar.set(map, before * 512);
        const { layout: found, end } = decodeSparseMap(tar, before * 512, layout.realSize);
        expect(found).toEqual(layout);
        expect(end).toBe(before * 512 + map.length);
        expect(sparseDataLength(found)).toBe(layout.segments.reduce((sum, { length }) => sum + length, 0));
      }),
    );
  });

  test("end with the real size, which GNU tar needs to keep the hole at the end", () => {
    expect(mapText(1000)).toBe("1\n1000\n0\n");
    expect(mapText(2048, { offset: 0, length: 512 })).toBe("2\n0\n512\n2048\n0\n");
    expect(mapText(1025, { offset: 1024, length: 1 })).toBe("1\n1024\n1\n");
  });

  test("whose segments break the rules are neither written nor read", () => {
    for (const illegal of [
      segments([512, 512], [0, 512]),
      segments([0, 1024], [512, 512]),
      segments([0, 0]),
      segments([0, 100], [512, 512]),
      segments([100, 412]),
      segments([4096, 512]),
    ]) {
      expect(codeOf(() => encodeSparseMap({ realSize: 4096, segments: illegal }))).toBe("INTERNAL");
    }
    expect(readingOf("1\n4096\n0\n")).toBe("none");
    for (const text of [
      "0\n",
      "1\n0\n512\n",
      "2\n0\n512\n4095\n0\n",
      "2\n4096\n0\n4096\n0\n",
      "2\n0\n4096\n4096\n0\n",
      "2\n512\n512\n0\n512\n",
      "1\n4096\n0\nx",
      "01\n4096\n0\n",
      "1\n04096\n0\n",
      "\n",
      "1000002\n",
      "99999999999999999999\n",
      "1 4096 0",
      "-1\n",
    ]) {
      expect([text, readingOf(text)]).toEqual([text, "ARCHIVE_DAMAGED"]);
    }
    expect(codeOf(() => decodeSparseMap(utf8("1\n4096\n0\n"), 0, 4096))).toBe("ARCHIVE_DAMAGED");
  });

  test("made of random digits throw nothing but damage", () => {
    const digit = fc.constantFrom(...utf8("0123456789\n\n\n"));
    fc.assert(
      fc.property(fc.array(digit, { maxLength: 300 }), (bytes) => {
        expect(readingOutcomes).toContain(codeOf(() => decodeSparseMap(Uint8Array.from(bytes), 0, 4096)));
      }),
    );
  });
});

describe("PAX numbers", () => {
  const scratch = new Uint8Array(40);
  const text = (end: number): string => String.fromCharCode(...scratch.subarray(0, end));

  test("are decimal, exact up to 2^53 − 1", () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), (value) => {
        expect(text(writeDecimal(scratch, 0, value))).toBe(String(value));
        expect(decimalLength(value)).toBe(String(value).length);
      }),
    );
  });

  test("give times their exact value, negative ones too, without trailing zeros", () => {
    const cases: [number, number, string][] = [
      [-2, 500_000_000, "-1.5"],
      [-1, 500_000_000, "-0.5"],
      [-1, 0, "-1"],
      [-1, 999_999_999, "-0.000000001"],
      [0, 1, "0.000000001"],
      [1, 100_000_000, "1.1"],
      [Number.MAX_SAFE_INTEGER, 999_999_999, "9007199254740991.999999999"],
      [-Number.MAX_SAFE_INTEGER, 1, "-9007199254740990.999999999"],
    ];
    for (const [seconds, nanoseconds, expected] of cases) {
      expect(text(writeTime(scratch, 0, seconds, nanoseconds))).toBe(expected);
    }
    fc.assert(
      fc.property(timestamp, ({ seconds, nanoseconds }) => {
        const [, sign, whole, fraction = ""] = /^(-?)(\d+)(?:\.(\d*[1-9]))?$/.exec(
          text(writeTime(scratch, 0, seconds, nanoseconds)),
        ) as unknown as string[];
        const magnitude = BigInt(whole as string) * 1_000_000_000n + BigInt(fraction.padEnd(9, "0"));
        expect(sign === "-" ? -magnitude : magnitude).toBe(BigInt(seconds) * 1_000_000_000n + BigInt(nanoseconds));
      }),
    );
  });

  test("count themselves in the length of a record", () => {
    fc.assert(
      fc.property(fc.nat(1_000_000), (body) => {
        const length = paxRecordLength(body);
        expect(length).toBe(String(length).length + 2 + body);
      }),
    );
    for (const body of [5, 6, 7, 94, 95, 96, 97, 993, 994, 995]) {
      expect(paxRecordLength(body)).toBe(String(paxRecordLength(body)).length + 2 + body);
    }
  });
});

describe("names in headers", () => {
  test("of attributes are encoded as GNU tar does", () => {
    expect(encodeAttributeName(utf8("user.a=b%c"))).toEqual(utf8("user.a%3Db%25c"));
    const name = utf8("user.plain");
    expect(encodeAttributeName(name)).toBe(name);
  });

  test("are split at a slash that leaves both parts room, and nothing empty", () => {
    expect(splitName(utf8(`${"a".repeat(155)}/${"b".repeat(100)}`))).toBe(155);
    expect(splitName(utf8(`${"a".repeat(156)}/${"b".repeat(99)}`))).toBe(-1);
    expect(splitName(utf8(`${"a".repeat(100)}/${"b".repeat(101)}`))).toBe(-1);
    expect(splitName(utf8(`${"a".repeat(101)}/`))).toBe(-1);
    expect(splitName(utf8(`/${"b".repeat(100)}`))).toBe(-1);
    expect(splitName(utf8(`a/b/${"c".repeat(98)}`))).toBe(1);
  });
});
