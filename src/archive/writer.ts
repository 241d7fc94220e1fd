// Writes an archive front to back: preamble, head, groups of blocks with their catalog segments, table, summary, footer. It takes sealed
// blocks in order and knows nothing of where they come from.

import { concatBytes, fromHex, toHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { createEncoder, type FrameEncoder } from "../codec/codec.ts";
import type { Digest } from "../codec/digest.ts";
import { blockPayloadLengthAt, encodeBlock, endBlockLength, endSourceId } from "../format/block.ts";
import { extendChain, startChain } from "../format/chain.ts";
import { encodePreamble } from "../format/comment.ts";
import { encodeFooter, footerRecordLength } from "../format/footer.ts";
import { encodeHead } from "../format/head.ts";
import { encodeRecord, RecordType } from "../format/record.ts";
import { encodeSegment, encodeSegmentContent, type EncodedRows } from "../format/segment.ts";
import { encodeSummary } from "../format/summary.ts";
import { encodeTable, tableCapacity } from "../format/table.ts";
import type { Head, SourceTotals, Summary, TableBlock, TableSegment } from "../model/archive.ts";
import type { Completion } from "../model/catalog.ts";
import type { Sink } from "./sink.ts";

/** A block as a worker sealed it. */
export interface SealedBlock {
  readonly frame: Uint8Array;
  readonly uncompressedLength: number;
  /** Of its first entry, or of the file that goes on in it. */
  readonly sourceId: number;
  readonly rows: EncodedRows;
  /** First 16 bytes of H over the frame. */
  readonly digest: Uint8Array;
  readonly continuation?: { readonly entry: number; readonly fileOffset: number };
  /** Names from the source's root to the parent of its first entry; asked for when a segment starts with it. */
  readonly ancestors: readonly Uint8Array[];
  /** A large file ends with this block. */
  readonly completes?: Completion;
}

/** What a writer needs of a sink. */
export type ArchiveOutput = Pick<Sink, "offset" | "write">;

interface Group {
  readonly firstBlock: number;
  readonly firstEntry: number;
  ancestors: readonly Uint8Array[] | undefined;
  readonly blocks: EncodedRows[];
  readonly completions: Completion[];
  entries: number;
  tarBytes: number;
  /** Bytes of rows and digests. */
  rowBytes: number;
}

const segmentLevel = 3;
const noRows: EncodedRows = { count: 0, rows: new Uint8Array(0), digests: new Uint8Array(0) };

export class ArchiveWriter {
  readonly #sink: ArchiveOutput;
  readonly #head: Head;
  readonly #headPayload: Uint8Array;
  readonly #archiveId: Uint8Array;
  readonly #digest: Digest;
  readonly #frames: FrameEncoder;
  readonly #segmentFrames: FrameEncoder;
  readonly #blocks: TableBlock[] = [];
  readonly #segments: TableSegment[] = [];
  #chain: Uint8Array = new Uint8Array(16);
  #sequence = 0;
  #tarOffset = 0;
  #entries = 0;
  #headLength = 0;
  #headOffset2 = 0;
  #group: Group | undefined;
  /** Rows of entries without member that wait for the next block. */
  #carried: EncodedRows = noRows;
  /** Of the first carried row: its source, and the names down to its directory. */
  #carriedSource = endSourceId;
  #carriedAncestors: readonly Uint8Array[] = [];

  private constructor(
    sink: ArchiveOutput,
    head: Head,
    digest: Digest,
    frames: FrameEncoder,
    segmentFrames: FrameEncoder,
  ) {
    this.#sink = sink;
    this.#head = head;
    this.#headPayload = encodeHead(head);
    this.#archiveId = fromHex(head.archiveId) as Uint8Array;
    this.#digest = digest;
    this.#frames = frames;
    this.#segmentFrames = segmentFrames;
  }

  /** Starts an archive: writes preamble and head. The head's `preamble` is filled in here. */
  static async create(sink: ArchiveOutput, head: Omit<Head, "preamble">, digest: Digest): Promise<ArchiveWriter> {
    const frames = await createEncoder(head.codec, head.level);
    const segmentFrames = await createEncoder("zstd", segmentLevel);
    const tar = encodePreamble(head.codec);
    const frame = compress(frames, tar);
    const preamble = { length: frame.length, digest: toHex(digest.hash(frame)) };
    const writer = new ArchiveWriter(sink, { ...head, preamble }, digest, frames, segmentFrames);
    writer.#tarOffset = tar.length;
    await sink.write([frame]);
    await writer.#writeHead();
    return writer;
  }

  get head(): Head {
    return this.#head;
  }

  /** Bytes of archive written so far. */
  get offset(): number {
    return this.#sink.offset;
  }

  /** Entries whose rows were given so far. */
  get entries(): number {
    return this.#entries + this.#carried.count;
  }

  /** Rows of entries without member, to go with the next block. */
  carry(rows: EncodedRows, sourceId: number, ancestors: readonly Uint8Array[]): void {
    if (rows.count === 0) return;
    if (this.#carried.count === 0) {
      this.#carriedSource = sourceId;
      this.#carriedAncestors = ancestors;
    }
    const carried = appendRows(this.#carried, rows);
    checkRows(carried);
    this.#carried = carried;
  }

  /** Writes one block. The frame's bytes are not used after the promise has settled. */
  async writeBlock(block: SealedBlock): Promise<void> {
    const rows = appendRows(this.#carried, block.rows);
    const first =
      this.#carried.count === 0 ? block : { sourceId: this.#carriedSource, ancestors: this.#carriedAncestors };
    this.#carried = noRows;
    await this.#writeBlock({ ...block, rows, sourceId: first.sourceId, ancestors: first.ancestors }, false);
    const group = this.#group as Group;
    if (block.completes !== undefined) group.completions.push(block.completes);
    const isFull = group.tarBytes >= limits.groupBytes || group.rowBytes >= limits.groupRowBytes;
    if (isFull || group.blocks.length >= limits.groupBlocks) await this.#closeGroup();
  }

  /** Writes the end block, table, summary and footer. Returns the summary. */
  async finish(
    sources: readonly SourceTotals[],
    members: number,
    snapshot: Readonly<Record<string, unknown>> | undefined,
  ): Promise<Summary> {
    const frame = compress(this.#frames, new Uint8Array(endBlockLength));
    const rows = this.#carried;
    this.#carried = noRows;
    const end = { frame, uncompressedLength: endBlockLength, sourceId: endSourceId, rows };
    await this.#writeBlock({ ...end, digest: this.#digest.block(frame), ancestors: this.#carriedAncestors }, true);
    await this.#closeGroup();
    const tableOffset = this.#sink.offset;
    const tables = await this.#writeTables();
    const summaryOffset = this.#sink.offset;
    const summary: Summary = {
      entries: this.#entries,
      members,
      blocks: this.#blocks.length,
      segments: this.#segments.length,
      tables,
      tarBytes: this.#tarOffset,
      headLength: this.#headLength,
      headOffset2: this.#headOffset2,
      sources,
      ...(snapshot === undefined ? {} : { snapshot }),
    };
    await this.#writeRecord(RecordType.summary, encodeSummary(summary));
    const footer = {
      tableOffset,
      summaryOffset,
      entries: this.#entries,
      chain: this.#chain,
      blocks: this.#blocks.length,
    };
    // The length counts the footer itself: a record of fixed size.
    const archiveLength = this.#sink.offset + footerRecordLength;
    await this.#writeRecord(RecordType.footer, encodeFooter({ ...footer, archiveLength }));
    return summary;
  }

  async #writeHead(): Promise<void> {
    const record = encodeRecord(RecordType.head, this.#archiveId, this.#sequence++, this.#headPayload);
    if (this.#headLength === 0) {
      this.#headLength = record.length;
      this.#chain = startChain(this.#digest.hash, record);
    } else {
      this.#headOffset2 = this.#sink.offset;
      this.#chain = extendChain(this.#digest.hash, this.#chain, record);
    }
    await this.#sink.write([record]);
  }

  async #writeRecord(type: RecordType, payload: Uint8Array): Promise<void> {
    await this.#sink.write([this.#nextRecord(type, payload)]);
  }

  #nextRecord(type: RecordType, payload: Uint8Array): Uint8Array {
    const record = encodeRecord(type, this.#archiveId, this.#sequence++, payload);
    this.#chain = extendChain(this.#digest.hash, this.#chain, record);
    return record;
  }

  async #writeBlock(block: SealedBlock, end: boolean): Promise<void> {
    const { frame, uncompressedLength, sourceId, rows, digest, continuation } = block;
    // Entries without member may fill a segment alone.
    if ((this.#group?.rowBytes ?? 0) + bytesOf(rows) > limits.blockRowBytes) await this.#closeGroup();
    const number = this.#blocks.length;
    const entryCount = rows.count;
    checkRows(rows);
    const firstEntry = this.#entries;
    const shared = {
      compressedLength: frame.length,
      uncompressedLength,
      firstEntry,
      tarOffset: this.#tarOffset,
      entryCount,
    };
    const offset = this.#sink.offset;
    const record = {
      ...shared,
      number,
      sourceId,
      codec: this.#head.codec,
      end,
      digest,
      chain: this.#chain,
      ...(continuation === undefined ? {} : { continuation }),
    };
    const payload = encodeBlock(record, blockPayloadLengthAt(offset, this.#head.format));
    this.#blocks.push({ ...shared, offset, sourceId, continuation: continuation !== undefined, end });
    this.#group ??= {
      firstBlock: number,
      firstEntry,
      ancestors: undefined,
      blocks: [],
      completions: [],
      entries: 0,
      tarBytes: 0,
      rowBytes: 0,
    };
    const group = this.#group;
    if (entryCount > 0) group.ancestors ??= block.ancestors;
    group.blocks.push(rows);
    group.entries += entryCount;
    group.tarBytes += uncompressedLength;
    group.rowBytes += bytesOf(rows);
    this.#entries += entryCount;
    this.#tarOffset += uncompressedLength;
    await this.#sink.write([this.#nextRecord(RecordType.block, payload), frame]);
  }

  async #closeGroup(): Promise<void> {
    const group = this.#group;
    if (group === undefined) return;
    this.#group = undefined;
    const { firstBlock, firstEntry, blocks, completions, entries } = group;
    const content = encodeSegmentContent({ ancestors: group.ancestors ?? [], blocks, completions });
    const frame = compress(this.#segmentFrames, content);
    const number = this.#segments.length;
    const payload = encodeSegment(
      { firstEntry, entryCount: entries, number, contentLength: content.length, firstBlock },
      frame,
      this.#head.format,
    );
    const offset = this.#sink.offset;
    this.#segments.push({ offset, payloadLength: payload.length, entryCount: entries, firstEntry, firstBlock });
    await this.#writeRecord(RecordType.segment, payload);
    if (number === 0) await this.#writeHead();
  }

  async #writeTables(): Promise<number> {
    const perTable = tableCapacity(this.#segments.length);
    let tables = 0;
    for (let start = 0; start < this.#blocks.length; start += perTable) {
      const blocks = this.#blocks.slice(start, start + perTable);
      const isLast = start + perTable >= this.#blocks.length;
      await this.#writeRecord(RecordType.table, encodeTable({ blocks, segments: isLast ? this.#segments : [] }));
      tables++;
    }
    return tables;
  }
}

/** Throws UNSUPPORTED for rows that do not fit one block, or one segment. */
function checkRows(rows: EncodedRows): void {
  if (rows.count <= limits.blockEntries && bytesOf(rows) <= limits.blockRowBytes) return;
  const found = `${rows.count} entries with ${bytesOf(rows)} bytes of catalog in a row, of which tar holds none or few`;
  throw new TsfsaError("UNSUPPORTED", `an archive cannot hold ${found}`, {
    hints: ["leave some of the sockets or unreadable entries there out with -e"],
  });
}

function bytesOf({ rows, digests }: EncodedRows): number {
  return rows.length + digests.length;
}

function compress(encoder: FrameEncoder, bytes: Uint8Array): Uint8Array {
  const target = new Uint8Array(encoder.bound(bytes.length));
  return target.slice(0, encoder.compress(target, 0, bytes, 0, bytes.length));
}

function appendRows(first: EncodedRows, second: EncodedRows): EncodedRows {
  if (first.count === 0) return second;
  return {
    count: first.count + second.count,
    rows: concatBytes([first.rows, second.rows]),
    digests: concatBytes([first.digests, second.digests]),
  };
}
