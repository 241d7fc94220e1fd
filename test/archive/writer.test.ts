import { describe, expect, it } from "vitest";
import { ArchiveWriter, type SealedBlock } from "../../src/archive/writer.ts";
import { limits } from "../../src/base/limits.ts";
import { createEncoder } from "../../src/codec/codec.ts";
import { createDigest, type Digest } from "../../src/codec/digest.ts";
import { decodeBlock } from "../../src/format/block.ts";
import { decodeRecordHeader, findRecordMagic, recordHeaderLength, RecordType } from "../../src/format/record.ts";
import { RowEncoder } from "../../src/format/segment.ts";
import { emptyTotals } from "../../src/format/summary.ts";
import type { CatalogRow } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { MemorySink } from "../save/support/memory-sink.ts";
import { catalogRow } from "../support/rows.ts";

const MiB = 1024 * 1024;
const head = {
  format: 1,
  oldestReader: 1,
  archiveId: "00112233445566778899aabbccddeeff",
  creator: "test",
  created: "2026-01-01T00:00:00Z",
  label: "",
  codec: "zstd" as const,
  level: 1,
  blockSize: MiB,
  digest: "xxh128" as const,
  sources: [0, 1].map((id) => ({ kind: "directory" as const, prefix: `${id}/`, origin: "test" })),
};

function fifo(name: string, fields: Partial<CatalogRow> = {}): CatalogRow {
  return catalogRow({ kind: EntryKind.fifo, name: Buffer.from(name), ...fields });
}

function rowsOf(...rows: readonly CatalogRow[]): SealedBlock["rows"] {
  const encoder = new RowEncoder();
  for (const each of rows) encoder.add(each);
  return encoder.finish();
}

let frames = 0;

/** A block of which only what the writer looks at is true. */
function block(digest: Digest, fields: Partial<SealedBlock> = {}): SealedBlock {
  const frame = Buffer.from(`frame ${frames++}`);
  const rows = rowsOf(fifo("x"));
  return { frame, uncompressedLength: 512, sourceId: 0, rows, digest: digest.block(frame), ancestors: [], ...fields };
}

interface Found {
  readonly type: number;
  readonly sequence: number;
  readonly payload: Uint8Array;
}

/** The records of an archive whose frames hold none. */
function records(archive: Uint8Array): Found[] {
  const found: Found[] = [];
  for (let at = findRecordMagic(archive, 0); at >= 0; ) {
    const result = decodeRecordHeader(archive, at);
    if (result.header === undefined) throw new Error(`no record header at ${at}`);
    const { type, sequence, payloadLength } = result.header;
    const end = at + recordHeaderLength + payloadLength;
    found.push({ type, sequence, payload: archive.subarray(at + recordHeaderLength, end) });
    at = findRecordMagic(archive, end);
  }
  return found;
}

/** Chain value in the block record at index `i`. */
function chain(found: readonly Found[], i: number): string {
  return Buffer.from(decodeBlock(found[i]?.payload as Uint8Array).chain).toString("hex");
}

async function write(body: (writer: ArchiveWriter, digest: Digest) => Promise<void>): Promise<Found[]> {
  const sink = new MemorySink();
  const digest = await createDigest("xxh128");
  const writer = await ArchiveWriter.create(sink, head, digest);
  await body(writer, digest);
  await writer.finish([emptyTotals(), emptyTotals()], 0, undefined);
  expect(writer.offset).toBe(sink.bytes.length);
  return records(sink.bytes);
}

function shape(found: readonly Found[]): string {
  const letters = {
    [RecordType.head]: "H",
    [RecordType.block]: "b",
    [RecordType.segment]: "S",
    [RecordType.table]: "T",
  };
  return found
    .map(({ type }) => ({ ...letters, [RecordType.summary]: "Y", [RecordType.footer]: "F" })[type] ?? "?")
    .join("");
}

describe("ArchiveWriter", () => {
  it("writes an archive without entries: head, end block, its segment, copy of the head, table, summary, footer", async () => {
    const found = await write(async () => {});
    expect(shape(found)).toBe("HbSHTYF");
    expect(found.map(({ sequence }) => sequence)).toEqual([0, 1, 2, 3, 4, 5, 6]);
    expect(found[3]?.payload).toEqual(found[0]?.payload);
  });

  it("closes a group at 16 blocks", async () => {
    const found = await write(async (writer, digest) => {
      for (let i = 0; i < 33; i++) await writer.writeBlock(block(digest));
    });
    expect(shape(found)).toBe(`H${"b".repeat(16)}SH${"b".repeat(16)}SbbSTYF`);
  });

  it("closes a group as soon as it holds 64 MiB of tar bytes", async () => {
    const found = await write(async (writer, digest) => {
      for (let i = 0; i < 4; i++) await writer.writeBlock(block(digest, { uncompressedLength: 22 * MiB }));
    });
    expect(shape(found)).toBe("HbbbSHbbSTYF");
  });

  it("closes a group before its rows pass what a segment holds", async () => {
    const extents = Array.from({ length: 1_000_000 }, (_, i) => ({ offset: 2 ** 45 + i * 8192, length: 4096 }));
    const rows = rowsOf(fifo("x", { kind: EntryKind.file, unwrittenExtents: extents }));
    expect(rows.rows.length).toBeGreaterThan(8 * MiB);
    const found = await write(async (writer, digest) => {
      for (let i = 0; i < 12; i++) await writer.writeBlock(block(digest, { rows }));
    });
    const most = Math.ceil(limits.groupRowBytes / rows.rows.length);
    expect(shape(found)).toMatch(new RegExp(`^H(b{${most}}SH?){${Math.floor(12 / most)}}`));
  });

  it("gives carried rows to the next block, with the source and the ancestors of the first of them", async () => {
    const socket = rowsOf(fifo("s", { kind: EntryKind.socket, depth: 3 }));
    const found = await write(async (writer, digest) => {
      for (let i = 0; i < 16; i++) await writer.writeBlock(block(digest));
      writer.carry(
        socket,
        0,
        ["", "a", "b"].map((name) => Buffer.from(name)),
      );
      writer.carry(rowsOf(fifo("t", { kind: EntryKind.socket })), 0, [new Uint8Array(0)]);
      expect(writer.entries).toBe(18);
      const root = rowsOf(fifo("", { kind: EntryKind.directory, depth: 0 }));
      await writer.writeBlock(block(digest, { sourceId: 1, rows: root, ancestors: [] }));
      await writer.writeBlock(block(digest, { sourceId: 1 }));
    });
    const blocks = found.filter(({ type }) => type === RecordType.block).map(({ payload }) => decodeBlock(payload));
    expect(blocks[16]).toMatchObject({ sourceId: 0, entryCount: 3, firstEntry: 16 });
    expect(blocks[17]).toMatchObject({ sourceId: 1, entryCount: 1, firstEntry: 19 });
    const second = found.filter(({ type }) => type === RecordType.segment)[1]?.payload as Uint8Array;
    const { createDecoder } = await import("../../src/codec/codec.ts");
    const { decodeSegment } = await import("../../src/format/segment.ts");
    const { splitSegment } = await import("../../src/format/segmentDecoder.ts");
    const { header, frame } = decodeSegment(second, 1);
    const content = new Uint8Array(header.contentLength);
    (await createDecoder("zstd")).decompress(content, frame);
    const { ancestors, blocks: outlines } = splitSegment(header, content, 16);
    expect(ancestors.map((name) => Buffer.from(name).toString())).toEqual(["", "a", "b"]);
    expect(outlines.map(({ count }) => count)).toEqual([3, 1, 0]);
  });

  it("closes a group before carried rows that fill a segment alone", async () => {
    const rows = (count: number, length: number): SealedBlock["rows"] => ({
      count,
      rows: new Uint8Array(length),
      digests: new Uint8Array(0),
    });
    const many = rows(1000, limits.blockRowBytes - 4 * MiB);
    const files = rows(1, 20 * MiB);
    const found = await write(async (writer, digest) => {
      await writer.writeBlock(block(digest, { rows: files }));
      writer.carry(many, 0, [new Uint8Array(0)]);
      await writer.writeBlock(block(digest));
    });
    expect(shape(found)).toMatch(/^HbSHbSbS/);
  });

  it("refuses rows without member over what a segment or a block holds", async () => {
    await write(async (writer) => {
      const bytes = { count: 1000, rows: new Uint8Array(limits.blockRowBytes + 1), digests: new Uint8Array(0) };
      expect(() => writer.carry(bytes, 0, [])).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
    });
    await write(async (writer) => {
      const entries = { count: limits.blockEntries + 1, rows: new Uint8Array(8), digests: new Uint8Array(0) };
      expect(() => writer.carry(entries, 0, [])).toThrow(expect.objectContaining({ code: "UNSUPPORTED" }));
    });
  });

  it("puts carried rows that nothing follows into the end block", async () => {
    const found = await write(async (writer) => {
      writer.carry(rowsOf(fifo("s", { kind: EntryKind.socket })), 0, [new Uint8Array(0)]);
    });
    const end = decodeBlock(found.find(({ type }) => type === RecordType.block)?.payload as Uint8Array);
    expect(end).toMatchObject({ end: true, sourceId: 0xffff, entryCount: 1 });
  });

  it("chains every record to the ones before it", async () => {
    const once = await write(async (writer, digest) => {
      frames = 0;
      for (let i = 0; i < 3; i++) await writer.writeBlock(block(digest));
    });
    const again = await write(async (writer, digest) => {
      frames = 0;
      for (let i = 0; i < 3; i++) await writer.writeBlock(block(digest, i === 0 ? { uncompressedLength: 1024 } : {}));
    });
    expect(chain(once, 1)).toBe(chain(again, 1));
    expect(chain(once, 2)).not.toBe(chain(again, 2));
    expect(chain(once, 3)).not.toBe(chain(again, 3));
    expect(once.at(-1)?.payload.subarray(32, 48)).not.toEqual(again.at(-1)?.payload.subarray(32, 48));
  });

  it("stops at the first write that fails", async () => {
    const digest = await createDigest("xxh128");
    const sink = new MemorySink();
    const writer = await ArchiveWriter.create(sink, head, digest);
    const full = new Error("full");
    sink.write = () => Promise.reject(full);
    await expect(writer.writeBlock(block(digest))).rejects.toBe(full);
  });

  it("keeps no byte of a block's frame after the write", async () => {
    const digest = await createDigest("xxh128");
    const encoder = await createEncoder("zstd", 1);
    const shared = new Uint8Array(new SharedArrayBuffer(encoder.bound(512)));
    const sink = new MemorySink();
    const writer = await ArchiveWriter.create(sink, head, digest);
    for (const fill of [1, 2]) {
      const length = encoder.compress(shared, 0, new Uint8Array(512).fill(fill), 0, 512);
      const frame = shared.subarray(0, length);
      await writer.writeBlock(block(digest, { frame, digest: digest.block(frame) }));
      shared.fill(0);
    }
    const whole = sink.bytes;
    const blocks = records(whole).filter(({ type }) => type === RecordType.block);
    for (const { payload } of blocks) {
      const record = decodeBlock(payload);
      const at = payload.byteOffset - whole.byteOffset + payload.length;
      const frame = whole.subarray(at, at + record.compressedLength);
      expect(Buffer.from(digest.block(frame))).toEqual(Buffer.from(record.digest));
    }
  });
});
