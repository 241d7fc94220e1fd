// Archives that no save writes: each record, row, tar header and number as a test wants it, all checksums and the chain right. What a test does not name
// is as a writer would have it.

import { concatBytes, fromHex, toHex, utf8 } from "../../src/base/bytes.ts";
import { createEncoder } from "../../src/codec/codec.ts";
import { createDigest, type Digest } from "../../src/codec/digest.ts";
import { digestLeaves, digestOfLeaves } from "../../src/codec/leaves.ts";
import { blockPayloadLengthAt, encodeBlock, endBlockLength, endSourceId } from "../../src/format/block.ts";
import { extendChain, startChain } from "../../src/format/chain.ts";
import { encodePreamble } from "../../src/format/comment.ts";
import { encodeFooter, footerRecordLength } from "../../src/format/footer.ts";
import { encodeHead, prefixBytes } from "../../src/format/head.ts";
import { formatVersion } from "../../src/format/version.ts";
import { type MemberFields, MemberEncoder } from "../../src/format/member.ts";
import { encodeRecord, RecordType } from "../../src/format/record.ts";
import { type EncodedRows, encodeSegment, encodeSegmentContent, RowEncoder } from "../../src/format/segment.ts";
import type { SegmentHeader } from "../../src/format/segment.ts";
import { emptyTotals, encodeSummary } from "../../src/format/summary.ts";
import { encodeTable } from "../../src/format/table.ts";
import { padded } from "../../src/format/ustar.ts";
import type { BlockRecord, Footer, Head, Summary, Table } from "../../src/model/archive.ts";
import type { CatalogRow, Completion } from "../../src/model/catalog.ts";
import { EntryKind } from "../../src/model/entry.ts";
import { catalogRow } from "./rows.ts";

export type Name = string | Uint8Array;

/** One entry. Its path follows from name and depth; `member` and `row` say where tar or catalog tell something else. */
export interface ForgedEntry {
  readonly kind: EntryKind;
  readonly depth: number;
  readonly name: Name;
  readonly content?: Uint8Array;
  /** Bytes of the content that stand in this block; the others are for continuations. */
  readonly contentHere?: number;
  /** Hard links: member name of the object; symlinks: the target. */
  readonly target?: Name;
  readonly mode?: number;
  readonly member?: Partial<MemberFields>;
  readonly row?: Partial<CatalogRow>;
  /** Its bytes in the tar stream, headers and all, instead of a member. */
  readonly tar?: Uint8Array;
  /** Only one of the two tells of it. */
  readonly only?: "tar" | "catalog";
}

export interface ForgedBlock {
  readonly entries?: readonly ForgedEntry[];
  /** A slice of a large file instead of entries. */
  readonly slice?: Uint8Array;
  readonly record?: Partial<BlockRecord>;
  readonly frame?: (tar: Uint8Array) => Uint8Array;
}

export interface ForgedGroup {
  readonly blocks: readonly ForgedBlock[];
  readonly ancestors?: readonly Name[];
  readonly completions?: readonly Completion[];
  readonly segment?: Partial<SegmentHeader>;
  /** Content of the segment, decompressed. */
  readonly content?: Uint8Array;
}

export interface Forgery {
  readonly groups: readonly ForgedGroup[];
  readonly head?: Partial<Head>;
  /** Format version by which frames are placed; that of the head where it is not given. */
  readonly layout?: number;
  readonly preamble?: Uint8Array;
  readonly table?: (table: Table) => Table;
  readonly summary?: (summary: Summary) => Summary;
  readonly footer?: (footer: Footer) => Footer;
}

export const root: ForgedEntry = { kind: EntryKind.directory, depth: 0, name: "", mode: 0o755 };

export function file(depth: number, name: Name, content: string | Uint8Array = "", more: Partial<ForgedEntry> = {}) {
  const bytes = typeof content === "string" ? utf8(content) : content;
  return { kind: EntryKind.file, depth, name, content: bytes, ...more } satisfies ForgedEntry;
}

export function directory(depth: number, name: Name, more: Partial<ForgedEntry> = {}): ForgedEntry {
  return { kind: EntryKind.directory, depth, name, mode: 0o755, ...more };
}

export function symlink(depth: number, name: Name, target: Name, more: Partial<ForgedEntry> = {}): ForgedEntry {
  return { kind: EntryKind.symlink, depth, name, target, mode: 0o777, ...more };
}

/** `linkEntry`: number of the object. */
export function hardlink(depth: number, name: Name, target: Name, linkEntry: number, more: Partial<ForgedEntry> = {}) {
  const row = { linkEntry, ...more.row };
  return { kind: EntryKind.hardlink, depth, name, target, ...more, row } satisfies ForgedEntry;
}

/** One group of one block. */
export function forgeEntries(entries: readonly ForgedEntry[], more: Partial<Forgery> = {}): Promise<Buffer> {
  return forge({ groups: [{ blocks: [{ entries }] }], ...more });
}

export async function forge(forgery: Forgery): Promise<Buffer> {
  const digest = await createDigest(forgery.head?.digest ?? "xxh128");
  return new Forge(forgery, digest).build();
}

const archiveId = "00112233445566778899aabbccddeeff";
const times = { seconds: 1_600_000_000, nanoseconds: 0 };
const slash = utf8("/");
const noBytes = new Uint8Array(0);

export function bytesOf(name: Name): Uint8Array {
  return typeof name === "string" ? new Uint8Array(Buffer.from(name, "latin1")) : name;
}

class Forge {
  readonly #forgery: Forgery;
  readonly #digest: Digest;
  readonly #parts: Uint8Array[] = [];
  readonly #head: Omit<Head, "preamble">;
  #offset = 0;
  #sequence = 0;
  #chain: Uint8Array = noBytes;
  /** Prefix of the source, and names of the directories that are open, each with its slash. */
  #path: Uint8Array[] = [];
  #source = -1;

  constructor(forgery: Forgery, digest: Digest) {
    this.#forgery = forgery;
    this.#digest = digest;
    this.#head = {
      format: formatVersion,
      oldestReader: 1,
      archiveId,
      creator: "forge",
      created: "2020-01-01T00:00:00Z",
      label: "",
      codec: "zstd",
      level: 3,
      blockSize: 1 << 20,
      digest: digest.name,
      sources: [{ kind: "directory", prefix: "./", origin: "forge:/" }],
      ...forgery.head,
    };
  }

  async build(): Promise<Buffer> {
    const { groups, layout = this.#head.format } = this.#forgery;
    const { codec, level } = this.#head;
    const frames = await createEncoder(codec, level);
    const segmentFrames = await createEncoder("zstd", 3);
    const seal = (tar: Uint8Array): Uint8Array => compress(frames, tar);
    const preambleTar = this.#forgery.preamble ?? encodePreamble(codec);
    const preamble = seal(preambleTar);
    this.#add(preamble);
    const length = preamble.length;
    const head: Head = { preamble: { length, digest: toHex(this.#digest.hash(preamble)) }, ...this.#head };
    const headPayload = encodeHead(head);
    const headLength = this.#record(RecordType.head, headPayload);
    const table: { blocks: Table["blocks"][number][]; segments: Table["segments"][number][] } = {
      blocks: [],
      segments: [],
    };
    const totals = { entries: 0, members: 0, tarBytes: preambleTar.length };
    let headOffset2 = 0;
    for (const [number, group] of [...groups.slice(0, -1), withEnd(groups.at(-1) as ForgedGroup)].entries()) {
      const firstEntry = totals.entries;
      const firstBlock = table.blocks.length;
      const encoded: EncodedRows[] = [];
      for (const block of group.blocks) {
        const isEnd = block === endBlock;
        const { tar, rows, members } = block.slice === undefined ? this.#entries(block, totals.entries) : slice(block);
        const bytes = isEnd ? new Uint8Array(endBlockLength) : tar;
        const frame = block.frame?.(bytes) ?? seal(bytes);
        const record: BlockRecord = {
          number: table.blocks.length,
          tarOffset: totals.tarBytes,
          compressedLength: frame.length,
          uncompressedLength: bytes.length,
          firstEntry: totals.entries,
          entryCount: rows.count,
          sourceId: isEnd ? endSourceId : Math.max(0, this.#source),
          codec,
          end: isEnd,
          digest: this.#digest.block(frame),
          chain: this.#chain,
          ...block.record,
        };
        const { compressedLength, uncompressedLength, tarOffset, entryCount, sourceId, end } = record;
        const continuation = record.continuation !== undefined;
        const numbers = { compressedLength, uncompressedLength, firstEntry: record.firstEntry, tarOffset, entryCount };
        table.blocks.push({ offset: this.#offset, ...numbers, sourceId, continuation, end });
        this.#record(RecordType.block, encodeBlock(record, blockPayloadLengthAt(this.#offset, layout)));
        this.#add(frame);
        encoded.push(rows);
        totals.entries += rows.count;
        totals.members += members;
        totals.tarBytes += bytes.length;
      }
      const ancestors = (group.ancestors ?? []).map(bytesOf);
      const content =
        group.content ?? encodeSegmentContent({ ancestors, blocks: encoded, completions: group.completions ?? [] });
      const entryCount = totals.entries - firstEntry;
      const header = { firstEntry, entryCount, number, contentLength: content.length, firstBlock, ...group.segment };
      const payload = encodeSegment(header, compress(segmentFrames, content), layout);
      table.segments.push({ offset: this.#offset, payloadLength: payload.length, entryCount, firstEntry, firstBlock });
      this.#record(RecordType.segment, payload);
      if (number === 0) {
        headOffset2 = this.#offset;
        this.#record(RecordType.head, headPayload);
      }
    }
    const tableOffset = this.#offset;
    this.#record(RecordType.table, encodeTable(this.#forgery.table?.(table) ?? table));
    const summaryOffset = this.#offset;
    const summary = {
      ...totals,
      blocks: table.blocks.length,
      segments: table.segments.length,
      tables: 1,
      headLength,
      headOffset2,
      sources: this.#head.sources.map(() => emptyTotals()),
    };
    this.#record(RecordType.summary, encodeSummary(this.#forgery.summary?.(summary) ?? summary));
    const archiveLength = this.#offset + footerRecordLength;
    const { entries } = totals;
    const footer = {
      tableOffset,
      summaryOffset,
      archiveLength,
      entries,
      chain: this.#chain,
      blocks: table.blocks.length,
    };
    this.#record(RecordType.footer, encodeFooter(this.#forgery.footer?.(footer) ?? footer));
    return Buffer.concat(this.#parts);
  }

  #add(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#offset += bytes.length;
  }

  /** Returns its length. */
  #record(type: RecordType, payload: Uint8Array): number {
    const bytes = encodeRecord(type, fromHex(this.#head.archiveId) as Uint8Array, this.#sequence++, payload);
    const hash = (input: Uint8Array): Uint8Array => this.#digest.hash(input);
    this.#chain = this.#sequence === 1 ? startChain(hash, bytes) : extendChain(hash, this.#chain, bytes);
    this.#add(bytes);
    return bytes.length;
  }

  #entries(block: ForgedBlock, firstEntry: number): { tar: Uint8Array; rows: EncodedRows; members: number } {
    const tar: Uint8Array[] = [];
    const rows = new RowEncoder();
    let offset = 0;
    let members = 0;
    let number = firstEntry;
    for (const entry of block.entries ?? []) {
      this.#enter(entry);
      const hasMember = entry.kind < EntryKind.socket && entry.only !== "catalog";
      const bytes = hasMember ? (entry.tar ?? memberBytes(entry, this.#memberName(entry), number)) : noBytes;
      if (entry.only !== "tar") {
        rows.add(this.#row(entry, hasMember ? offset : 0));
        number++;
      }
      if (hasMember) members++;
      tar.push(bytes);
      offset += bytes.length;
    }
    return { tar: concatBytes(tar), rows: rows.finish(), members };
  }

  /** Follows the path. */
  #enter(entry: ForgedEntry): void {
    if (entry.depth === 0) {
      this.#source++;
      const source = this.#head.sources[Math.min(this.#source, this.#head.sources.length - 1)];
      this.#path = [source === undefined ? noBytes : prefixBytes(source)];
      return;
    }
    this.#path.length = Math.min(this.#path.length, entry.depth);
    if (entry.kind === EntryKind.directory) this.#path.push(concatBytes([bytesOf(entry.name), slash]));
  }

  /** Member name of the entry that was entered last. */
  #memberName(entry: ForgedEntry): Uint8Array {
    return concatBytes(entry.kind === EntryKind.directory ? this.#path : [...this.#path, bytesOf(entry.name)]);
  }

  #row(entry: ForgedEntry, offset: number): CatalogRow {
    const { kind, depth, name, content = noBytes, target, mode = 0o644 } = entry;
    const isFile = kind === EntryKind.file;
    const isSymlink = kind === EntryKind.symlink;
    const link = target === undefined ? noBytes : bytesOf(target);
    const continued = isFile && entry.contentHere !== undefined;
    return catalogRow({
      kind,
      depth,
      name: bytesOf(name),
      offset,
      mode,
      size: isFile ? content.length : isSymlink ? link.length : 0,
      mtime: times,
      atime: times,
      continued,
      ...(isFile && !continued ? { digest: fileDigest(this.#digest, content) } : {}),
      ...(isSymlink ? { symlinkTarget: link } : {}),
      ...(kind === EntryKind.charDevice || kind === EntryKind.blockDevice ? { device: { major: 1, minor: 3 } } : {}),
      ...entry.row,
    });
  }
}

/** File digest (docs/FORMAT.md, section 7). */
export function fileDigest(digest: Digest, content: Uint8Array): Uint8Array {
  const leaves = digestLeaves(digest, content, 0, Float64Array.of(0, content.length), 0, content.length);
  return digestOfLeaves(digest, leaves, content.length);
}

const endBlock: ForgedBlock = {};

function withEnd(group: ForgedGroup): ForgedGroup {
  return { ...group, blocks: [...group.blocks, endBlock] };
}

function slice(block: ForgedBlock): { tar: Uint8Array; rows: EncodedRows; members: number } {
  return { tar: paddedBytes(block.slice ?? noBytes), rows: new RowEncoder().finish(), members: 0 };
}

/** Headers, content and padding of an entry's member. */
export function memberBytes(entry: ForgedEntry, path: Uint8Array, entryNumber: number): Uint8Array {
  const { kind, content = noBytes, target, mode = 0o644 } = entry;
  const isDevice = kind === EntryKind.charDevice || kind === EntryKind.blockDevice;
  const fields: MemberFields = {
    kind,
    path,
    linkPath: target === undefined ? undefined : bytesOf(target),
    mode,
    uid: 0,
    gid: 0,
    size: content.length,
    mtimeSeconds: times.seconds,
    mtimeNanoseconds: times.nanoseconds,
    device: isDevice ? { major: 1, minor: 3 } : undefined,
    entryNumber,
    ...entry.member,
  };
  const encoder = new MemberEncoder();
  const headers = new Uint8Array(encoder.size(fields));
  encoder.encode(headers, 0, fields);
  const here = content.subarray(0, entry.contentHere ?? content.length);
  return concatBytes([headers, entry.contentHere === undefined ? paddedBytes(here) : here]);
}

function paddedBytes(bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(padded(bytes.length));
  whole.set(bytes);
  return whole;
}

function compress(encoder: Awaited<ReturnType<typeof createEncoder>>, bytes: Uint8Array): Uint8Array {
  const target = new Uint8Array(encoder.bound(bytes.length));
  return target.slice(0, encoder.compress(target, 0, bytes, 0, bytes.length));
}
