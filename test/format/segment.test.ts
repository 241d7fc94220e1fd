import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ByteWriter, compareBytes, concatBytes, utf8 } from "../../src/base/bytes.ts";
import { splitSegmentRows } from "../../src/archive/split-segment.ts";
import { TsfsaError } from "../../src/base/errors.ts";
import { encodeRow } from "../../src/format/row.ts";
import {
  decodeSegment,
  encodeSegment,
  encodeSegmentContent,
  type EncodedRows,
  RowEncoder,
  type SegmentHeader,
} from "../../src/format/segment.ts";
import { decodeBlockRows, RowOrder, splitSegment } from "../../src/format/segmentDecoder.ts";
import { hasParity } from "../../src/format/parity.ts";
import type { CatalogRow, Completion } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { catalogRow } from "../support/rows.ts";
import { componentBytes, extents, type LooseRow, looseRow } from "./arbitraries.ts";
import { codeOf, readingOutcomes } from "./expect.ts";
import { draws } from "../support/draws.ts";

interface Segment {
  readonly ancestors: Uint8Array[];
  readonly blocks: CatalogRow[][];
  readonly completions: Completion[];
  readonly digestLength: number;
  readonly firstEntry: number;
}

const directory = catalogRow({ kind: EntryKind.directory, mode: 0o755 });

/** Gives loose rows legal places: all children of one directory, in order, as many in each block as `cuts` says. */
function place(rows: LooseRow[], names: Uint8Array[], ancestors: Uint8Array[], cuts: number[]): CatalogRow[][] {
  const sorted = names.toSorted(compareBytes).filter((name, index, all) => {
    const previous = all[index - 1];
    return previous === undefined || compareBytes(previous, name) !== 0;
  });
  const blocks: CatalogRow[][] = [[]];
  let depth = ancestors.length;
  let offset = 0;
  if (depth === 0) {
    blocks[0]?.push({ ...directory, name: new Uint8Array(0), depth: 0, offset: 0 });
    offset = 512;
    depth = 1;
  }
  for (const [index, row] of rows.slice(0, sorted.length).entries()) {
    const cut = cuts[index] === 0 && blocks.length < 16;
    if (cut) {
      blocks.push([]);
      offset = 0;
    }
    const hasMember = row.kind !== EntryKind.socket && row.kind !== EntryKind.absent;
    blocks.at(-1)?.push({ ...row, name: sorted[index] as Uint8Array, depth, offset: hasMember ? offset : 0 });
    if (hasMember) offset += 1024;
  }
  return blocks;
}

const segment: fc.Arbitrary<Segment> = fc.constantFrom(16, 32).chain((digestLength) =>
  fc
    .record({
      rows: fc.array(looseRow(digestLength), { maxLength: 25 }),
      names: fc.array(componentBytes, { maxLength: 25 }),
      deeper: fc.array(componentBytes, { maxLength: 5 }),
      atRoot: fc.boolean(),
      cuts: fc.array(fc.nat(4), { maxLength: 25 }),
      firstEntry: fc.integer({ min: 100, max: 2 ** 52 }),
      completions: fc.array(
        fc.record({
          entry: fc.nat(99),
          damaged: fc.boolean(),
          changed: fc.boolean(),
          digest: fc.uint8Array({ minLength: digestLength, maxLength: digestLength }),
          damagedRanges: fc.oneof(fc.constant([]), extents),
        }),
        { maxLength: 5 },
      ),
    })
    .map(({ rows, names, deeper, atRoot, cuts, firstEntry, completions }) => {
      const ancestors = atRoot ? [] : [new Uint8Array(0), ...deeper];
      const ascending = completions.toSorted((left, right) => left.entry - right.entry);
      return {
        ancestors,
        blocks: place(rows, names, ancestors, cuts),
        completions: ascending.filter(({ entry }, index) => ascending[index - 1]?.entry !== entry),
        digestLength,
        firstEntry,
      };
    }),
);

function encoded(value: Segment): { header: SegmentHeader; content: Uint8Array } {
  const encoder = new RowEncoder();
  const blocks = value.blocks.map((rows): EncodedRows => {
    for (const row of rows) encoder.add(row);
    return encoder.finish();
  });
  const content = encodeSegmentContent({ ancestors: value.ancestors, blocks, completions: value.completions });
  return { header: headerOf(content, value.firstEntry, value.blocks.flat().length), content };
}

function headerOf(content: Uint8Array, firstEntry: number, entryCount: number): SegmentHeader {
  return { firstEntry, entryCount, number: 4, contentLength: content.length, firstBlock: 9 };
}

/** All of a segment, proved as a restore proves it. */
function read(header: SegmentHeader, content: Uint8Array, digestLength: number) {
  const { ancestors, blocks, completions } = splitSegment(header, content, digestLength);
  const order = new RowOrder(ancestors.length, (reason) => new TsfsaError("ARCHIVE_DAMAGED", reason));
  const rows = blocks.map((block) => decodeBlockRows(block, digestLength));
  for (const row of rows.flat()) order.check(row);
  return { ancestors, blocks: rows, completions };
}

describe("a catalog segment", () => {
  test("comes back as it was, its rows one block at a time", () => {
    fc.assert(
      fc.property(segment, (value) => {
        const { header, content } = encoded(value);
        const { ancestors, blocks, completions } = value;
        expect(read(header, content, value.digestLength)).toEqual({ ancestors, blocks, completions });
      }),
    );
  });

  test("is split by the addon as it is without, whole or damaged", () => {
    const outcome = (split: () => unknown): unknown => {
      try {
        return split();
      } catch (error) {
        return (error as Error).message;
      }
    };
    const damage = fc.record({ at: fc.nat(), value: fc.nat(255), isDone: fc.boolean() });
    fc.assert(
      fc.property(segment, damage, ({ digestLength, ...value }, { at, value: byte, isDone }) => {
        const { header, content } = encoded({ digestLength, ...value });
        if (isDone && content.length > 0) content[at % content.length] = byte;
        const plain = outcome(() => splitSegment(header, content, digestLength));
        expect(outcome(() => splitSegmentRows(header, content, digestLength))).toEqual(plain);
      }),
      { numRuns: draws(500) },
    );
  });

  test("comes back from its record's payload with its header", () => {
    const header = { firstEntry: 5, entryCount: 6, number: 7, contentLength: 8, firstBlock: 9 };
    for (const [format, parity] of [
      [1, 0],
      [2, 4096],
    ] as const) {
      const payload = encodeSegment(header, Uint8Array.of(1, 2, 3), format);
      expect(payload).toHaveLength(24 + 3 + parity);
      expect(hasParity(payload)).toBe(format === 2);
      expect(decodeSegment(payload, format)).toEqual({ header, frame: Uint8Array.of(1, 2, 3) });
      expect(codeOf(() => decodeSegment(payload.subarray(0, 24 + parity), format))).toBe("ARCHIVE_DAMAGED");
      expect(codeOf(() => decodeSegment(payload.subarray(0, 20), format))).toBe("ARCHIVE_DAMAGED");
      for (const contentLength of [0, 128 * 1024 * 1024 + 1]) {
        const illegal = encodeSegment({ ...header, contentLength }, Uint8Array.of(1), format);
        expect(codeOf(() => decodeSegment(illegal, format))).toBe("ARCHIVE_DAMAGED");
      }
    }
  });

  test("with changed, cut or added bytes throws damage or hostile, and nothing else", () => {
    fc.assert(
      fc.property(segment, fc.nat(), fc.nat(255), fc.nat(3), (value, position, byte, how) => {
        const { header, content } = encoded(value);
        const at = position % content.length;
        const changed = content.slice();
        changed[at] = byte;
        const variants = [changed, content.subarray(0, at), concatBytes([content, Uint8Array.of(byte)])];
        const bytes = variants[how % 3] as Uint8Array;
        const action = (): unknown => read({ ...header, contentLength: bytes.length }, bytes, value.digestLength);
        const outcome = codeOf(action);
        expect(readingOutcomes).toContain(outcome);
        if (bytes.length !== content.length) expect(outcome).not.toBe("none");
      }),
      { numRuns: draws(300) },
    );
  });

  test("made of random bytes throws damage or hostile, and nothing else", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), fc.nat(5), (bytes, entryCount) => {
        const header = headerOf(bytes, 0, entryCount);
        expect(readingOutcomes).toContain(codeOf(() => read(header, bytes, 16)));
      }),
      { numRuns: draws(500) },
    );
  });

  test("whose counts are far beyond its bytes ends at once", () => {
    const writer = new ByteWriter();
    writer.varint(1); // blocks
    writer.varint(0); // ancestors
    writer.varint(0xffff_ffff); // rows
    const content = writer.take();
    const header = headerOf(content, 0, 0xffff_ffff);
    expect(codeOf(() => read(header, content, 16))).toBe("ARCHIVE_DAMAGED");
  });
});

/** Outcome of reading a segment with these rows after the root directory's row. */
function outcomeOf(...rows: Partial<CatalogRow>[]): string {
  const encoder = new RowEncoder();
  encoder.add({ ...directory, name: new Uint8Array(0), depth: 0, offset: 0 });
  let offset = 512;
  for (const row of rows) {
    encoder.add({ ...directory, name: utf8("x"), depth: 1, offset, ...row });
    offset += 512;
  }
  const content = encodeSegmentContent({ ancestors: [], blocks: [encoder.finish()], completions: [] });
  return codeOf(() => read(headerOf(content, 0, rows.length + 1), content, 16));
}

describe("rows that no writer makes", () => {
  test("lead out of their directory or stand twice: hostile", () => {
    expect(outcomeOf({})).toBe("none");
    for (const name of ["", ".", "..", "a/b", "/", "a\0"]) {
      expect([name, outcomeOf({ name: utf8(name) })]).toEqual([name, "ARCHIVE_HOSTILE"]);
    }
    expect(outcomeOf({ name: utf8("a") }, { name: utf8("a") })).toBe("ARCHIVE_HOSTILE");
  });

  test("break the order or the tree: damage", () => {
    expect(outcomeOf({ name: utf8("a") }, { name: utf8("b") }, { name: utf8("c"), depth: 2 })).toBe("none");
    expect(outcomeOf({ name: utf8("b") }, { name: utf8("a") })).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf({ depth: 2 })).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf({ kind: EntryKind.fifo }, { name: utf8("y"), depth: 2 })).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf({ depth: 0 })).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf({ name: utf8("a") }, { name: utf8("b"), offset: 512 })).toBe("ARCHIVE_DAMAGED");
    expect(outcomeOf({ kind: EntryKind.socket, offset: 512 })).toBe("ARCHIVE_DAMAGED");
  });

  test("have values outside of their field: damage", () => {
    const illegal: Partial<CatalogRow>[] = [
      { mode: 0o10000 },
      { uid: 0xffff_ffff },
      { gid: 2 ** 40 },
      { size: 1 },
      { inodeFlags: 2 ** 32 },
      { projectId: 2 ** 32 },
      { mtime: { seconds: 0, nanoseconds: 1_000_000_000 } },
      { offset: 2 ** 40 },
      { kind: EntryKind.symlink },
      { kind: EntryKind.fifo, linkEntry: 0 },
      { symlinkTarget: utf8("x") },
      { linkEntry: 0 },
      { kind: EntryKind.symlink, symlinkTarget: new Uint8Array(4096) },
      { digest: new Uint8Array(16) },
      { kind: EntryKind.file, digest: new Uint8Array(16), continued: true },
      { kind: EntryKind.file, damagedRanges: [{ offset: 0, length: 0 }] },
      {
        kind: EntryKind.file,
        dataMap: [
          { offset: 10, length: 5 },
          { offset: 14, length: 1 },
        ],
      },
    ];
    for (const row of illegal) {
      expect([row, outcomeOf({ name: utf8("y"), offset: 512, ...row })]).toEqual([row, "ARCHIVE_DAMAGED"]);
    }
  });

  test("carry tags this version does not know: read, and marked when the tag is critical", () => {
    const writer = new ByteWriter();
    encodeRow(writer, { ...directory, name: new Uint8Array(0), depth: 0, offset: 0 });
    const row = concatBytes([writer.take().slice(0, -1), Uint8Array.of(3, 12, 1, 0, 0x80, 0, 0xff, 2, 0, 0)]);
    const content = encodeSegmentContent({
      ancestors: [],
      blocks: [{ count: 1, rows: row, digests: new Uint8Array(0) }],
      completions: [],
    });
    const [rows] = read(headerOf(content, 0, 1), content, 16).blocks;
    expect(rows?.[0]?.unknownCriticalTags).toEqual([0x80, 0xff]);
  });
});
