// Reading parts of an archive by what stands at its end: footer, table and summary say where every block and catalog segment is, so that a listing or
// a file costs no more than the segments and blocks it stands in. Every record that is read is checked against the table and its own checksums; the
// chain over all records is not, which needs all of them.

import { equalBytes, fromHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import { blockPayloadLengthAt, decodeBlock } from "../format/block.ts";
import { decodeFooter, footerRecordLength } from "../format/footer.ts";
import {
  decodeRecordHeader,
  isPayloadIntact,
  payloadLimits,
  recordHeaderLength,
  RecordType,
} from "../format/record.ts";
import { decodeSegment, type SegmentHeader } from "../format/segment.ts";
import { firstOfSegment } from "../format/segmentDecoder.ts";
import { decodeSummary } from "../format/summary.ts";
import { decodeTable } from "../format/table.ts";
import type { Summary, TableBlock, TableSegment } from "../model/archive.ts";
import { addon } from "../sys/addon.ts";
import { recordsFrom } from "./chained-records.ts";
import { traitsOf } from "./lost-block.ts";
import type { ArchiveReader, BlockLocation, GroupCatalog } from "./reader.ts";
import { splitSegmentRows } from "./split-segment.ts";

/** Bytes of segments that are kept decompressed: a search comes back to the same ones. */
const keptBytesMax = 32 * 1024 * 1024;

interface SegmentContent {
  readonly header: SegmentHeader;
  readonly content: Uint8Array;
  catalog?: GroupCatalog;
}

export class ArchiveIndex {
  readonly blocks: readonly TableBlock[];
  readonly segments: readonly TableSegment[];
  readonly summary: Summary;
  readonly #reader: ArchiveReader;
  readonly #fd: number;
  readonly #archiveId: Uint8Array;
  readonly #decoder: FrameDecoder;
  readonly #kept = new Map<number, SegmentContent>();
  #keptBytes = 0;

  private constructor(
    reader: ArchiveReader,
    fd: number,
    archiveId: Uint8Array,
    decoder: FrameDecoder,
    end: Pick<ArchiveIndex, "blocks" | "segments" | "summary">,
  ) {
    this.#reader = reader;
    this.#fd = fd;
    this.#archiveId = archiveId;
    this.#decoder = decoder;
    this.blocks = end.blocks;
    this.segments = end.segments;
    this.summary = end.summary;
  }

  /** The index of an opened archive; undefined where it comes from a pipe or its end is not whole: then it is to be read front to back. */
  static async open(reader: ArchiveReader): Promise<ArchiveIndex | undefined> {
    const { fd, length } = reader.input;
    if (fd === undefined || length === undefined || reader.damages.length > 0) return undefined;
    const archiveId = fromHex(reader.head.archiveId) as Uint8Array;
    try {
      const end = readEnd(fd, length, archiveId);
      return new ArchiveIndex(reader, fd, archiveId, await createDecoder("zstd"), end);
    } catch (error) {
      if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return undefined;
      throw error;
    }
  }

  /** Rows and completions of a segment. Throws ARCHIVE_DAMAGED. */
  segment(number: number): GroupCatalog {
    const kept = this.#content(number);
    if (kept.catalog !== undefined) return kept.catalog;
    const { header, content } = kept;
    const catalog = { header, ...splitSegmentRows(header, content, this.#reader.digest.length) };
    const end = this.segments[number + 1]?.firstBlock ?? this.blocks.length;
    if (catalog.blocks.length !== end - header.firstBlock) throw this.#differs(number);
    kept.catalog = catalog;
    return catalog;
  }

  /** Names from the source's root (without it) down to the first entry of a segment that has entries; none for a root. */
  firstOf(number: number): Uint8Array[] {
    const { header, content } = this.#content(number);
    return firstOfSegment(header, content);
  }

  #content(number: number): SegmentContent {
    const known = this.#kept.get(number);
    if (known !== undefined) return known;
    const { offset, payloadLength, firstEntry, entryCount, firstBlock } = this.segments[number] as TableSegment;
    const payload = readRecord(this.#fd, offset, this.#archiveId, RecordType.segment, payloadLength);
    const { header, frame } = decodeSegment(payload, this.#reader.head.format);
    if (header.firstEntry !== firstEntry || header.entryCount !== entryCount || header.firstBlock !== firstBlock) {
      throw this.#differs(number);
    }
    const content = new Uint8Array(header.contentLength);
    this.#decoder.decompress(content, frame);
    this.#keptBytes += content.length;
    for (const [oldest, { content: old }] of this.#kept) {
      if (this.#keptBytes <= keptBytesMax) break;
      this.#kept.delete(oldest);
      this.#keptBytes -= old.length;
    }
    const kept = { header, content };
    this.#kept.set(number, kept);
    return kept;
  }

  #differs(segment: number): TsfsaError {
    return differs(this.segments[segment]?.offset ?? 0, `catalog segment ${segment}`);
  }

  /** The record of a block, and where its frame is. Throws ARCHIVE_DAMAGED. */
  block(number: number): BlockLocation {
    const { offset, compressedLength, uncompressedLength, firstEntry, entryCount } = this.blocks[number] as TableBlock;
    const payloadLength = blockPayloadLengthAt(offset, this.#reader.head.format);
    const record = decodeBlock(readRecord(this.#fd, offset, this.#archiveId, RecordType.block, payloadLength));
    if (
      record.number !== number ||
      record.compressedLength !== compressedLength ||
      record.uncompressedLength !== uncompressedLength ||
      record.firstEntry !== firstEntry ||
      record.entryCount !== entryCount
    ) {
      throw differs(offset, `block ${number}`);
    }
    return { record, frameOffset: offset + recordHeaderLength + payloadLength };
  }

  /** A block whose record is damaged, where the records around it prove it. */
  async rebuiltBlock(number: number): Promise<BlockLocation | undefined> {
    const { input, head, headPayload, digest } = this.#reader;
    const traits = traitsOf(head, headPayload, digest);
    const from = number === 0 ? head.preamble.length : (this.blocks[number - 1] as TableBlock).offset;
    for await (const { block: record, frameOffset, isRepaired } of recordsFrom(input, from, traits)) {
      if (record === undefined || record.number < number) continue;
      return isRepaired && record.number === number ? { record, frameOffset } : undefined;
    }
    return undefined;
  }

  /** The segment that describes a block. */
  segmentOf(block: number): number {
    return lastAtMost(this.segments, block, ({ firstBlock }) => firstBlock);
  }

  /** The block in which an entry starts. */
  blockOf(entry: number): number {
    let block = lastAtMost(this.blocks, entry, ({ firstEntry }) => firstEntry);
    // Blocks in which nothing starts have the number of the next entry.
    while (block > 0 && this.blocks[block]?.entryCount === 0) block--;
    return block;
  }
}

/** Index of the last item whose value is at most `value`; 0 when there is none. */
export function lastAtMost<Item>(items: ArrayLike<Item>, value: number, of: (item: Item) => number): number {
  let low = 0;
  let high = items.length;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (of(items[middle] as Item) <= value) low = middle;
    else high = middle;
  }
  return low;
}

/** Footer, tables and summary; throws ARCHIVE_DAMAGED where they are not whole or disagree. */
function readEnd(
  fd: number,
  length: number,
  archiveId: Uint8Array,
): Pick<ArchiveIndex, "blocks" | "segments" | "summary"> {
  const footerOffset = length - footerRecordLength;
  const footerLength = footerRecordLength - recordHeaderLength;
  const footer = decodeFooter(readRecord(fd, footerOffset, archiveId, RecordType.footer, footerLength));
  if (footer.archiveLength !== length) throw differs(footerOffset, "the footer");
  const summary = decodeSummary(readRecord(fd, footer.summaryOffset, archiveId, RecordType.summary));
  const blocks: TableBlock[] = [];
  const segments: TableSegment[] = [];
  let offset = footer.tableOffset;
  for (let table = 0; table < summary.tables && offset < footer.summaryOffset; table++) {
    const payload = readRecord(fd, offset, archiveId, RecordType.table);
    const part = decodeTable(payload);
    for (const block of part.blocks) blocks.push(block);
    for (const segment of part.segments) segments.push(segment);
    offset += recordHeaderLength + payload.length;
  }
  const last = blocks.at(-1);
  const whole =
    offset === footer.summaryOffset &&
    blocks.length === footer.blocks &&
    last !== undefined &&
    segments[0]?.firstBlock === 0 &&
    last.firstEntry + last.entryCount === footer.entries;
  if (!whole) throw differs(footerOffset, "the footer");
  return { blocks, segments, summary };
}

/** The payload of the record at `offset`, which must be of this type (and length, where it is known). Throws ARCHIVE_DAMAGED. */
export function readRecord(
  fd: number,
  offset: number,
  archiveId: Uint8Array,
  type: RecordType,
  length?: number,
): Uint8Array {
  const start = readAt(fd, offset, recordHeaderLength + (length ?? 0));
  const { header, flaw } = decodeRecordHeader(start, 0);
  if (header === undefined) throw damage(offset, flaw);
  const isExpected = header.type === type && equalBytes(header.archiveId, archiveId);
  if (!isExpected || (length !== undefined && header.payloadLength !== length)) throw damage(offset, "another record");
  if (header.payloadLength > payloadLimits(type).maximum) throw damage(offset, "a payload over its limit");
  const payload =
    length === undefined
      ? readAt(fd, offset + recordHeaderLength, header.payloadLength)
      : start.subarray(recordHeaderLength);
  if (!isPayloadIntact(header, payload)) throw damage(offset, "a payload with a wrong checksum");
  return payload;
}

function readAt(fd: number, offset: number, length: number): Uint8Array {
  if (offset < 0) throw damage(offset, "a place before the archive");
  const bytes = new Uint8Array(length);
  const read = addon().read(fd, bytes, 0, length, offset);
  if (read !== length) throw damage(offset, read < 0 ? "a read error" : "the end of the archive");
  return bytes;
}

function damage(offset: number, found: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `expected a record, found ${found}`, { offsetBytes: offset });
}

function differs(offset: number, what: string): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `${what} is not what the table at the end of the archive tells of`, {
    offsetBytes: offset,
  });
}
