// Reads an archive back with the decoders of the format and states on the way what docs/FORMAT.md demands of a writer: the cut rule, the numbers
// of blocks and segments, ancestors, sources, offsets, digests. Gives the entries with their content.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect } from "vitest";
import { ArchiveReader, type Group } from "../../../src/archive/reader.ts";
import { leafSizeBytes, limits } from "../../../src/base/limits.ts";
import { createDecoder, type FrameDecoder } from "../../../src/codec/codec.ts";
import type { Digest } from "../../../src/codec/digest.ts";
import { prefixBytes } from "../../../src/format/head.ts";
import { decodeMembers, type Member } from "../../../src/format/memberDecoder.ts";
import { decodeBlockRows, RowOrder } from "../../../src/format/segmentDecoder.ts";
import type { BlockRecord, Head, Summary } from "../../../src/model/archive.ts";
import type { CatalogRow, Completion } from "../../../src/model/catalog.ts";
import { EntryKind, type Extent } from "../../../src/model/entry.ts";

export interface ReadEntry {
  readonly number: number;
  readonly source: number;
  /** Below the source's root, latin1; the root is "". */
  readonly path: string;
  readonly row: CatalogRow;
  /** A copy without views; undefined for entries without member. */
  readonly member: Member | undefined;
  /** Data of a file as it stands in the tar stream, and where it belongs. */
  readonly data: Buffer[];
  readonly runs: readonly Extent[];
  completion?: Completion;
}

export interface ReadArchive {
  readonly head: Head;
  readonly summary: Summary;
  readonly entries: readonly ReadEntry[];
  readonly blocks: readonly BlockRecord[];
  readonly byPath: ReadonlyMap<string, ReadEntry>;
}

export async function readBack(archive: Uint8Array): Promise<ReadArchive> {
  const folder = mkdtempSync(join(tmpdir(), "tsfsa-save-"));
  try {
    const path = join(folder, "a.tsfsa");
    writeFileSync(path, archive);
    const reader = await ArchiveReader.open(path);
    try {
      return await new ReadBack(reader, archive, await createDecoder(reader.head.codec)).run();
    } finally {
      await reader.close();
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Logical content of a file that is small enough to be held. */
export function contentOf(entry: ReadEntry | undefined): Buffer {
  if (entry === undefined) throw new Error("no such entry");
  const content = Buffer.alloc(entry.row.size);
  const data = Buffer.concat(entry.data);
  let at = 0;
  for (const { offset, length } of entry.runs) {
    data.copy(content, offset, at, at + length);
    at += length;
  }
  return content;
}

class ReadBack {
  readonly #reader: ArchiveReader;
  readonly #archive: Uint8Array;
  readonly #decoder: FrameDecoder;
  readonly #entries: ReadEntry[] = [];
  readonly #blocks: BlockRecord[] = [];
  /** Names from the root down to the last entry. */
  #path: string[] = [];
  #source = -1;
  #tarOffset = 0;
  #segments = 0;
  /** The file that goes on in the next block. */
  #open: ReadEntry | undefined;

  constructor(reader: ArchiveReader, archive: Uint8Array, decoder: FrameDecoder) {
    this.#reader = reader;
    this.#archive = archive;
    this.#decoder = decoder;
  }

  async run(): Promise<ReadArchive> {
    const reader = this.#reader;
    for await (const group of reader.groups(false)) this.#group(group);
    expect(reader.damages).toEqual([]);
    const summary = reader.summary as Summary;
    const last = this.#blocks.at(-1) as BlockRecord;
    expect(last).toMatchObject({ end: true, sourceId: 0xffff, uncompressedLength: 1024 });
    expect(this.#blocks.filter(({ end }) => end)).toHaveLength(1);
    expect(this.#open, "a file whose last block is missing").toBeUndefined();
    expect(summary).toMatchObject({
      entries: this.#entries.length,
      members: this.#entries.filter(({ member }) => member !== undefined).length,
      blocks: this.#blocks.length,
      segments: this.#segments,
      tarBytes: this.#tarOffset,
    });
    for (const entry of this.#entries) this.#checkDigest(entry);
    const byPath = new Map(this.#entries.map((entry) => [`${entry.source}:${entry.path}`, entry]));
    return { head: reader.head, summary, entries: this.#entries, blocks: this.#blocks, byPath };
  }

  #group({ catalog, blocks }: Group): void {
    if (catalog === undefined) throw new Error("a segment is missing");
    expect(catalog.header).toMatchObject({
      number: this.#segments++,
      firstBlock: this.#blocks.length,
      firstEntry: this.#entries.length,
    });
    const sizes = blocks.map(({ record }) => record.uncompressedLength);
    const before = sizes.slice(0, -1).reduce((sum, size) => sum + size, 0);
    expect(blocks.length).toBeLessThanOrEqual(limits.groupBlocks);
    expect(before, "a group goes on over its limit").toBeLessThan(limits.groupBytes);
    const order = new RowOrder(catalog.ancestors.length, (reason) => new Error(reason));
    let started = false;
    for (const [i, { record, frameOffset }] of blocks.entries()) {
      const tar = new Uint8Array(record.uncompressedLength);
      const frame = this.#archive.subarray(frameOffset, frameOffset + record.compressedLength);
      this.#decoder.decompress(tar, frame);
      expect(Buffer.from(this.#reader.digest.block(frame))).toEqual(Buffer.from(record.digest));
      const outline = catalog.blocks[i];
      if (outline === undefined) throw new Error("a block without rows");
      const rows = decodeBlockRows(outline, this.#reader.digest.length);
      for (const row of rows) order.check(row);
      if (!started && rows.length > 0) {
        started = true;
        const ancestors = catalog.ancestors.map((name) => Buffer.from(name).toString("latin1"));
        const first = rows[0] as CatalogRow;
        expect(ancestors).toEqual(first.depth === 0 ? [] : ["", ...this.#path.slice(0, first.depth - 1)]);
      }
      this.#block(record, tar, rows);
    }
    for (const completion of catalog.completions) {
      const entry = this.#entries[completion.entry] as ReadEntry;
      expect(entry.row.continued).toBe(true);
      entry.completion = completion;
    }
  }

  #block(record: BlockRecord, tar: Uint8Array, rows: readonly CatalogRow[]): void {
    if (this.#blocks.length === 0) this.#tarOffset = record.tarOffset;
    const firstEntry = this.#entries.length;
    expect(record).toMatchObject({
      number: this.#blocks.length,
      tarOffset: this.#tarOffset,
      entryCount: rows.length,
      firstEntry,
    });
    expect(tar.length).toBeLessThanOrEqual(limits.blockBytes);
    this.#blocks.push(record);
    this.#tarOffset += tar.length;
    const members: Member[] = [];
    if (record.end) expect(tar.every((byte) => byte === 0)).toBe(true);
    else if (record.continuation === undefined) decodeMembers(tar, (member) => members.push(member));
    const startsIn = this.#enterRows(rows, members, tar);
    if (record.continuation !== undefined) this.#continue(record, tar);
    else if (record.end) expect(members).toEqual([]);
    else expect(record.sourceId, "source of the first entry").toBe(startsIn);
  }

  /** Returns the source of the first row. */
  #enterRows(rows: readonly CatalogRow[], members: readonly Member[], tar: Uint8Array): number {
    expect(this.#open === undefined || rows.length === 0, "entries before a file has ended").toBe(true);
    let next = 0;
    let first = -1;
    for (const row of rows) {
      const { depth } = row;
      if (depth === 0) this.#source++;
      if (first < 0) first = this.#source;
      this.#path = depth === 0 ? [] : [...this.#path.slice(0, depth - 1), Buffer.from(row.name).toString("latin1")];
      const hasMember = row.kind !== EntryKind.socket && row.kind !== EntryKind.absent;
      const member = hasMember ? members[next++] : undefined;
      if (hasMember && member === undefined) throw new Error("a row without its member");
      this.#enter(row, member, tar);
    }
    expect(next, "members without rows").toBe(members.length);
    return first;
  }

  #enter(row: CatalogRow, member: Member | undefined, tar: Uint8Array): void {
    const path = this.#path.join("/");
    const number = this.#entries.length;
    const runs = member?.sparse?.segments ?? (row.size > 0 ? [{ offset: 0, length: row.size }] : []);
    const isFile = row.kind === EntryKind.file;
    const entry: ReadEntry = { number, source: this.#source, path, row, member, data: [], runs: isFile ? runs : [] };
    this.#entries.push(entry);
    if (member === undefined) return;
    const prefix = Buffer.from(prefixBytes(this.#reader.head.sources[this.#source] as Head["sources"][number]));
    const slash = row.kind === EntryKind.directory && row.depth > 0 ? "/" : "";
    expect(Buffer.from(member.path).toString("latin1")).toBe(prefix.toString("latin1") + path + slash);
    expect(row).toMatchObject({
      offset: member.headerOffset,
      kind: member.kind,
      mode: member.mode,
      uid: member.uid,
      gid: member.gid,
      mtime: member.mtime,
      sparse: member.sparse !== undefined,
    });
    if (member.entryNumber !== undefined) expect(member.entryNumber).toBe(number);
    if (!isFile) return;
    expect(row.size).toBe(member.size);
    const { dataOffset, dataAvailable, dataLength } = member;
    entry.data.push(Buffer.from(tar.subarray(dataOffset, dataOffset + dataAvailable)));
    if (dataAvailable < dataLength) {
      expect(row.continued).toBe(true);
      this.#open = entry;
    }
  }

  #continue(record: BlockRecord, tar: Uint8Array): void {
    const entry = this.#open as ReadEntry;
    expect(record).toMatchObject({ sourceId: entry.source, continuation: { entry: entry.number } });
    const { fileOffset } = record.continuation as { readonly fileOffset: number };
    expect(fileOffset % leafSizeBytes).toBe(0);
    const done = entry.data.reduce((sum, { length }) => sum + length, 0);
    // The data before this block is that of the runs below its offset, neither more nor less.
    const below = entry.runs.reduce((sum, run) => sum + Math.max(0, Math.min(run.length, fileOffset - run.offset)), 0);
    expect(done).toBe(below);
    const rest = (entry.member as Member).dataLength - done;
    const taken = Math.min(rest, tar.length);
    entry.data.push(Buffer.from(tar.subarray(0, taken)));
    expect(taken).toBeGreaterThan(0);
    expect(tar.subarray(taken).every((byte) => byte === 0) && tar.length - taken < 512).toBe(true);
    if (taken === rest) this.#open = undefined;
  }

  /** The digest of every file is that of what the archive holds of it. */
  #checkDigest(entry: ReadEntry): void {
    const { row } = entry;
    if (row.kind !== EntryKind.file) {
      expect(row.digest).toBeUndefined();
      return;
    }
    expect(row.continued).toBe(row.digest === undefined);
    const stated = row.continued ? entry.completion?.digest : row.digest;
    const computed = digestOfData(this.#reader.digest, entry);
    expect(Buffer.from(stated ?? []).toString("hex"), entry.path).toBe(Buffer.from(computed).toString("hex"));
  }
}

/** Section 7 of docs/FORMAT.md, leaf by leaf from the runs. */
function digestOfData(digest: Digest, entry: ReadEntry): Uint8Array {
  const leaves = new Map<number, Buffer>();
  const data = Buffer.concat(entry.data);
  let at = 0;
  for (const { offset, length } of entry.runs) {
    for (let from = offset; from < offset + length; ) {
      const number = Math.floor(from / leafSizeBytes);
      const to = Math.min(offset + length, (number + 1) * leafSizeBytes);
      const leaf = leaves.get(number) ?? Buffer.alloc(Math.min(leafSizeBytes, entry.row.size - number * leafSizeBytes));
      leaves.set(number, leaf);
      data.copy(leaf, from - number * leafSizeBytes, at, at + to - from);
      at += to - from;
      from = to;
    }
  }
  const file = digest.file();
  for (const [number, leaf] of [...leaves].toSorted(([left], [right]) => left - right)) {
    if (leaf.some((byte) => byte !== 0)) file.addLeaf(number, digest.hash(leaf));
  }
  return file.finish(entry.row.size);
}
