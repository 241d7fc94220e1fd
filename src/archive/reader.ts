// Reads an archive front to back as groups: blocks and the catalog segment that describes them. Damage is collected and gone around; what is
// handed out has passed its checksums. The frames themselves are checked by whoever decodes them.

import { equalBytes, toHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import { createDigest, type Digest } from "../codec/digest.ts";
import { decodeBlock } from "../format/block.ts";
import { extendChain, startChain } from "../format/chain.ts";
import { decodeFooter } from "../format/footer.ts";
import { decodeHead } from "../format/head.ts";
import { findRecordMagic, RecordType } from "../format/record.ts";
import { decodeSegment, type SegmentHeader } from "../format/segment.ts";
import { type BlockOutline, splitSegment } from "../format/segmentDecoder.ts";
import { decodeSummary } from "../format/summary.ts";
import { decodeTable } from "../format/table.ts";
import type { BlockRecord, Footer, Head, Summary, Table, TableBlock } from "../model/archive.ts";
import type { Completion } from "../model/catalog.ts";
import type { Damage } from "./damage.ts";
import { type ArchiveInput, openInput } from "./input.ts";
import { type FoundRecord, RecordWalker } from "./records.ts";

/** A block whose record is whole. */
export interface BlockLocation {
  readonly record: BlockRecord;
  /** Offset of the data frame in the archive. */
  readonly frameOffset: number;
  /** The frame, where the archive comes from a pipe and frames were asked for. */
  readonly frame?: Uint8Array;
}

export interface GroupCatalog {
  readonly header: SegmentHeader;
  readonly ancestors: readonly Uint8Array[];
  /** Rows of the blocks header.firstBlock, +1, … */
  readonly blocks: readonly BlockOutline[];
  readonly completions: readonly Completion[];
}

export interface Group {
  /** Undefined: the segment is lost, and the rows must be made from the tar bytes. */
  readonly catalog: GroupCatalog | undefined;
  /** In order; blocks that the catalog describes may be missing. */
  readonly blocks: readonly BlockLocation[];
}

/** Blocks without a segment that are held before they are handed out. */
const groupBlocksMax = 16;
/** A preamble is some hundred bytes; further in no first record is looked for. */
const preambleMax = 64 * 1024;

export class ArchiveReader {
  readonly input: ArchiveInput;
  readonly head: Head;
  readonly digest: Digest;
  readonly damages: Damage[];
  summary: Summary | undefined;
  footer: Footer | undefined;
  readonly tables: Table[] = [];
  readonly #walker: RecordWalker;
  readonly #headPayload: Uint8Array;
  readonly #segments: FrameDecoder;
  #chain: Uint8Array | undefined;
  #nextBlock = 0;
  #nextSegment = 0;
  #blocks: BlockLocation[] = [];
  /** Where each block record was found, and the length of its frame. */
  readonly #offsets: number[] = [];
  readonly #lengths: number[] = [];

  private constructor(
    input: ArchiveInput,
    head: Head,
    headRecord: FoundRecord,
    digest: Digest,
    segments: FrameDecoder,
    walker: RecordWalker,
    damages: Damage[],
  ) {
    this.input = input;
    this.head = head;
    this.digest = digest;
    this.damages = damages;
    this.#walker = walker;
    this.#headPayload = headRecord.payload;
    this.#segments = segments;
  }

  /**
   * Opens an archive (a path or `-`) and reads its head. Throws ARCHIVE_MISSING, ARCHIVE_FOREIGN (not ours), ARCHIVE_VERSION, ARCHIVE_DAMAGED (no
   * head left).
   */
  static async open(archive: string): Promise<ArchiveReader> {
    const input = openInput(archive);
    try {
      return await ArchiveReader.#open(input);
    } catch (error) {
      await input.close();
      throw error;
    }
  }

  static async #open(input: ArchiveInput): Promise<ArchiveReader> {
    const start = await input.peek(preambleMax);
    const preambleLength = findRecordMagic(start, 0);
    if (preambleLength < 0) throw foreign(input.name, start.length);
    const preamble = await input.take(preambleLength);
    const damages: Damage[] = [];
    const walker = new RecordWalker(input, (damage) => damages.push(damage));
    const record = await findHead(walker, input);
    if (record.offset !== preambleLength) {
      damages.push({ offset: preambleLength, message: "the first head is damaged; its copy is used" });
    }
    const head = decodeHead(record.payload);
    if (toHex(record.header.archiveId) !== head.archiveId) {
      throw new TsfsaError("ARCHIVE_DAMAGED", "the head names another archive id than its record", {
        path: input.name,
      });
    }
    const digest = await createDigest(head.digest);
    const segments = await createDecoder("zstd");
    const reader = new ArchiveReader(input, head, record, digest, segments, walker, damages);
    if (head.preamble.length !== preambleLength || toHex(digest.hash(preamble)) !== head.preamble.digest) {
      damages.push({ offset: 0, message: "the preamble is not the one the head names" });
    }
    if (record.offset === preambleLength) {
      reader.#chain = startChain(digest.hash, record.bytes);
      walker.follow(record.header.archiveId, record.header.sequence);
    } else {
      input.seek(preambleLength);
      walker.follow(record.header.archiveId, 0);
    }
    return reader;
  }

  /** True once the footer was found whole and in its place. */
  get complete(): boolean {
    return this.footer !== undefined;
  }

  /** All groups in order. `frames`: keep the data frames of an archive that comes from a pipe. */
  async *groups(frames: boolean): AsyncGenerator<Group, void> {
    for (let record = await this.#next(); record !== undefined; record = await this.#next()) {
      switch (record.header.type) {
        case RecordType.head:
          if (!equalBytes(record.payload, this.#headPayload))
            this.#damage(record.offset, "the copy of the head differs from it");
          break;
        case RecordType.block:
          if (this.#blocks.length >= groupBlocksMax) yield this.#takeBlocks(undefined);
          await this.#readBlock(record, frames);
          break;
        case RecordType.segment: {
          const catalog = this.#readSegment(record);
          if (catalog === undefined) break;
          const { firstBlock } = catalog.header;
          const earlier = this.#blocks.filter(({ record: block }) => block.number < firstBlock);
          if (earlier.length > 0) {
            this.#blocks = this.#blocks.slice(earlier.length);
            yield { catalog: undefined, blocks: earlier };
          }
          yield this.#takeBlocks(catalog);
          break;
        }
        default:
          this.#readEnd(record);
      }
    }
    if (this.#blocks.length > 0) yield this.#takeBlocks(undefined);
    if (this.footer === undefined) {
      this.#damage(this.input.position, "the archive ends without its footer: it was cut short, or never finished");
    }
  }

  /** In what a block table differs from the blocks that were read; undefined: in nothing. */
  tableFlaw(table: readonly TableBlock[]): string | undefined {
    for (const [i, { offset, compressedLength }] of table.entries()) {
      if (this.#offsets[i] !== offset || this.#lengths[i] !== compressedLength) {
        return `the block table has another place for block ${i} than the one it was found at`;
      }
    }
    return undefined;
  }

  async close(): Promise<void> {
    await this.input.close();
  }

  /** The next record, its place in the chain checked. */
  async #next(): Promise<FoundRecord | undefined> {
    const record = await this.#walker.next();
    if (record === undefined) return undefined;
    if (this.footer !== undefined) this.#damage(record.offset, "a record follows the footer");
    if (record.afterGap) this.#chain = undefined;
    const stated = statedChain(record);
    if (stated !== undefined) {
      if (this.#chain !== undefined && !equalBytes(this.#chain, stated)) {
        this.#damage(record.offset, "the records before this one are not those it was written after");
      }
      this.#chain = stated;
    }
    if (this.#chain !== undefined) this.#chain = extendChain(this.digest.hash, this.#chain, record.bytes);
    return record;
  }

  async #readBlock(found: FoundRecord, frames: boolean): Promise<void> {
    let record: BlockRecord;
    try {
      record = decodeBlock(found.payload);
    } catch (error) {
      this.#damage(found.offset, (error as Error).message);
      return;
    }
    if (record.number !== this.#nextBlock && !found.afterGap) {
      this.#damage(found.offset, `expected block ${this.#nextBlock}, found block ${record.number}`);
    }
    this.#nextBlock = record.number + 1;
    this.#offsets[record.number] = found.offset;
    this.#lengths[record.number] = record.compressedLength;
    const frameOffset = this.input.position;
    if (this.input.fd === undefined && frames) {
      const frame = await this.input.take(record.compressedLength);
      if (frame.length === record.compressedLength) this.#blocks.push({ record, frameOffset, frame });
      else this.#damage(frameOffset, `block ${record.number} is cut short`, record.number);
      return;
    }
    if (await this.input.skip(record.compressedLength)) this.#blocks.push({ record, frameOffset });
    else this.#damage(frameOffset, `block ${record.number} is cut short`, record.number);
  }

  #readSegment(found: FoundRecord): GroupCatalog | undefined {
    try {
      const { header, frame } = decodeSegment(found.payload);
      const content = new Uint8Array(header.contentLength);
      this.#segments.decompress(content, frame);
      const catalog = { header, ...splitSegment(header, content, this.digest.length) };
      if (header.number !== this.#nextSegment && !found.afterGap) {
        this.#damage(found.offset, `expected catalog segment ${this.#nextSegment}, found ${header.number}`);
      }
      this.#nextSegment = header.number + 1;
      const last = this.#blocks.at(-1)?.record.number;
      if (last !== undefined && last >= header.firstBlock + catalog.blocks.length) {
        this.#damage(found.offset, `catalog segment ${header.number} does not describe block ${last} before it`);
        return undefined;
      }
      return catalog;
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.code === "INTERNAL") throw error;
      this.#damage(found.offset, error.message);
      return undefined;
    }
  }

  #readEnd(found: FoundRecord): void {
    try {
      if (found.header.type === RecordType.table) this.tables.push(decodeTable(found.payload));
      else if (found.header.type === RecordType.summary) this.summary = decodeSummary(found.payload);
      else {
        this.footer = decodeFooter(found.payload);
        if (this.footer.archiveLength !== this.input.position) {
          this.#damage(
            found.offset,
            `the footer tells of ${this.footer.archiveLength} bytes, found ${this.input.position}`,
          );
        }
      }
    } catch (error) {
      if (!(error instanceof TsfsaError)) throw error;
      this.#damage(found.offset, error.message);
    }
  }

  #takeBlocks(catalog: GroupCatalog | undefined): Group {
    const blocks = this.#blocks;
    this.#blocks = [];
    return { catalog, blocks };
  }

  #damage(offset: number, message: string, block?: number): void {
    this.damages.push({ offset, message, ...(block === undefined ? {} : { block }) });
  }
}

/** Blocks and the footer state the chain value before them. */
function statedChain(record: FoundRecord): Uint8Array | undefined {
  if (record.header.type === RecordType.block) return record.payload.subarray(72, 88);
  if (record.header.type === RecordType.footer) return record.payload.subarray(32, 48);
  return undefined;
}

/** The first head, or its copy where the first is damaged. */
async function findHead(walker: RecordWalker, input: ArchiveInput): Promise<FoundRecord> {
  for (;;) {
    const record = await walker.next();
    if (record === undefined) break;
    if (record.header.type === RecordType.head) return record;
    if (input.fd === undefined) break;
  }
  const hints = input.fd === undefined ? ["write the archive to a file first: there its copy can be used"] : [];
  throw new TsfsaError("ARCHIVE_DAMAGED", `no whole head was found in ${input.name}`, { path: input.name, hints });
}

function foreign(name: string, length: number): TsfsaError {
  const found = length === 0 ? "an empty file" : "no record of tsfsa at its start";
  return new TsfsaError("ARCHIVE_FOREIGN", `expected a tsfsa archive, found ${found}: ${name}`, {
    path: name,
    hints: ["an archive of fsarchiver (.fsa), tar or another program must be restored with that program"],
  });
}
