// Reads an archive front to back as groups: blocks and the catalog segment that describes them. Damage is collected and gone around; what is
// handed out has passed its checksums. The frames themselves are checked by whoever decodes them.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { createDecoder, type FrameDecoder } from "../codec/codec.ts";
import type { Digest } from "../codec/digest.ts";
import { blockPayloadLengthAt, decodeBlock } from "../format/block.ts";
import { checkPreamble } from "../format/comment.ts";
import { decodeFooter } from "../format/footer.ts";
import { hasParity } from "../format/parity.ts";
import { RecordType } from "../format/record.ts";
import { decodeSegment, type SegmentHeader } from "../format/segment.ts";
import type { BlockOutline } from "../format/segmentDecoder.ts";
import { decodeSummary } from "../format/summary.ts";
import { decodeTable } from "../format/table.ts";
import { sectorProofSince } from "../format/version.ts";
import type { BlockRecord, Footer, Head, Summary, Table } from "../model/archive.ts";
import type { Completion } from "../model/catalog.ts";
import { ChainedRecords } from "./chained-records.ts";
import type { Damage } from "./damage.ts";
import { EndCheck } from "./end-check.ts";
import { findHead, isBehindPreamble } from "./find-head.ts";
import { type ArchiveInput, openInput } from "./input.ts";
import { traitsOf } from "./lost-block.ts";
import type { ChainedRecord } from "./lost-records.ts";
import { type FoundRecord, RecordWalker } from "./records.ts";
import { splitSegmentRows } from "./split-segment.ts";

/** A block whose record is whole, or was made again. */
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
  /** The group does not follow from the one before, since what lies between was not asked for. Source: that of its first row. */
  readonly apart?: { readonly source: number };
}

/** What hands out groups: a whole archive front to back, or parts of it. */
export type GroupSource = Pick<ArchiveReader, "input" | "head" | "digest" | "damages" | "summary" | "groups">;

export class ArchiveReader {
  readonly input: ArchiveInput;
  readonly head: Head;
  readonly headPayload: Uint8Array;
  readonly digest: Digest;
  readonly damages: Damage[];
  summary: Summary | undefined;
  footer: Footer | undefined;
  readonly tables: Table[] = [];
  readonly #records: ChainedRecords;
  readonly #preamble: Uint8Array;
  readonly #end = new EndCheck();
  readonly #segments: FrameDecoder;
  #nextBlock = 0;
  #nextSegment = 0;
  #blocks: BlockLocation[] = [];

  private constructor(
    input: ArchiveInput,
    headRecord: FoundRecord,
    head: Head,
    preamble: Uint8Array,
    digest: Digest,
    segments: FrameDecoder,
    records: ChainedRecords,
    damages: Damage[],
  ) {
    this.input = input;
    this.head = head;
    this.digest = digest;
    this.damages = damages;
    this.#records = records;
    this.headPayload = headRecord.payload;
    this.#preamble = preamble;
    this.#segments = segments;
    this.#end.place("headLength", headRecord.bytes.length);
  }

  /**
   * Opens an archive (a path or `-`) and reads its head. Throws ARCHIVE_MISSING, ARCHIVE_FOREIGN (not ours), ARCHIVE_VERSION, ARCHIVE_DAMAGED (no
   * head left). Waiting for a pipe, now and later, ends with the signal's reason.
   */
  static async open(archive: string, signal?: AbortSignal): Promise<ArchiveReader> {
    return ArchiveReader.of(openInput(archive, signal));
  }

  /** The same of an input that is open already; it is the reader's to close. */
  static async of(input: ArchiveInput): Promise<ArchiveReader> {
    try {
      return await ArchiveReader.#open(input);
    } catch (error) {
      await input.close();
      throw error;
    }
  }

  static async #open(input: ArchiveInput): Promise<ArchiveReader> {
    const damages: Damage[] = [];
    const walker = new RecordWalker(input, (damage) => damages.push(damage));
    const found = await findHead(input, walker);
    const { record, head, digest, isCopy, preamble } = found;
    const segments = await createDecoder("zstd");
    if (isCopy) {
      const offset = head.preamble.length;
      const message = "the first head is damaged; its copy is used";
      damages.splice(0, Infinity, { offset, message, isHarmless: true });
    }
    if (!isBehindPreamble(found)) {
      damages.push({ offset: 0, message: "the preamble is not the one the head names", isHarmless: true });
    }
    walker.follow(record.header.archiveId, isCopy ? -1 : record.header.sequence);
    const records = new ChainedRecords(input, walker, traitsOf(head, record.payload, digest), damages);
    records.startBehind(isCopy ? head.preamble.length : record.offset);
    return new ArchiveReader(input, record, head, preamble, digest, segments, records, damages);
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
          this.#readHeadCopy(record);
          break;
        case RecordType.block: {
          const location = await this.#readBlock(record, frames);
          if (location === undefined) break;
          if (isPastGroup(this.#blocks[0]?.record, location.record)) yield this.#takeBlocks(undefined);
          this.#blocks.push(location);
          break;
        }
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

  /** In what the end of a whole archive of `entries` entries differs from what was read, one clause; undefined: in nothing. */
  endFlaw(entries: number): string | undefined {
    if (this.footer === undefined || this.damages.length > 0) return undefined; // Told already.
    if (this.summary === undefined) return "the summary is missing";
    return this.#end.flaw(this.tables, this.summary, this.footer, entries);
  }

  async close(): Promise<void> {
    await this.input.close();
  }

  async #next(): Promise<ChainedRecord | undefined> {
    if (this.footer !== undefined && this.input.isDevice) return undefined;
    const record = await this.#records.next();
    if (record !== undefined && this.footer !== undefined) this.#damage(record.offset, "a record follows the footer");
    return record;
  }

  #readHeadCopy(found: FoundRecord): void {
    this.#end.place("headOffset2", found.offset);
    if (!equalBytes(found.payload, this.headPayload)) {
      this.#damage(found.offset, "the copy of the head differs from it");
    }
  }

  async #readBlock(found: ChainedRecord, frames: boolean): Promise<BlockLocation | undefined> {
    let record: BlockRecord;
    try {
      record = decodeBlock(found.payload);
    } catch (error) {
      this.#damage(found.offset, (error as Error).message);
      return undefined;
    }
    if (record.number !== this.#nextBlock && !found.afterGap) {
      this.#damage(found.offset, `expected block ${this.#nextBlock}, found block ${record.number}`);
    }
    if (record.codec !== this.head.codec)
      this.#damage(found.offset, `block ${record.number} names another codec than the head`);
    const payloadLength = blockPayloadLengthAt(found.offset, this.head.format);
    if (this.damages.length === 0 && found.payload.length !== payloadLength) {
      const message = `expected ${payloadLength} bytes before the frame of block ${record.number}, found ${found.payload.length}`;
      this.#damage(found.offset, message);
    }
    if (record.number === 0) await this.#checkPreamble(record.tarOffset);
    this.#nextBlock = record.number + 1;
    this.#end.addBlock(found.offset, record);
    if (found.frame !== undefined) {
      const { offset, bytes } = found.frame;
      const location = { record, frameOffset: offset };
      return this.input.fd === undefined ? { ...location, frame: bytes } : location;
    }
    const frameOffset = this.input.position;
    const { compressedLength } = record;
    if (this.input.fd === undefined && frames) {
      const frame = await this.input.take(compressedLength);
      if (frame.length === compressedLength) return { record, frameOffset, frame };
    } else if (await this.input.skip(compressedLength)) return { record, frameOffset };
    this.#damage(frameOffset, `block ${record.number} is cut short`, record.number);
    return undefined;
  }

  /** Stock tools read the preamble: nothing but a comment may stand there. `length`: where the tar stream goes on. */
  async #checkPreamble(length: number): Promise<void> {
    if (this.damages.some(({ offset }) => offset === 0)) return;
    try {
      const decoder = await createDecoder(this.head.codec);
      const tar = new Uint8Array(Math.min(length, preambleMax));
      decoder.decompress(tar, this.#preamble);
      checkPreamble(tar);
    } catch (error) {
      if (!(error instanceof TsfsaError)) throw error;
      const message = `the preamble is not what every archive begins with: ${error.message}`;
      this.damages.push({ offset: 0, message, hostile: true });
    }
  }

  #readSegment(found: FoundRecord): GroupCatalog | undefined {
    try {
      const { format } = this.head;
      const { header, frame } = decodeSegment(found.payload, format);
      if (format >= sectorProofSince && !hasParity(found.payload)) {
        this.#damage(found.offset, `the parity of catalog segment ${header.number} is wrong`);
      }
      const content = new Uint8Array(header.contentLength);
      this.#segments.decompress(content, frame);
      const catalog = { header, ...splitSegmentRows(header, content, this.digest.length) };
      if (header.number !== this.#nextSegment && !found.afterGap) {
        this.#damage(found.offset, `expected catalog segment ${this.#nextSegment}, found ${header.number}`);
      }
      this.#nextSegment = header.number + 1;
      const { firstEntry, entryCount, firstBlock } = header;
      const { payloadLength } = found.header;
      this.#end.addSegment({ offset: found.offset, payloadLength, firstEntry, entryCount, firstBlock });
      const last = this.#blocks.at(-1)?.record.number;
      if (last !== undefined && last >= header.firstBlock + catalog.blocks.length) {
        this.#damage(found.offset, `catalog segment ${header.number} does not describe block ${last} before it`);
        return undefined;
      }
      return catalog;
    } catch (error) {
      if (!(error instanceof TsfsaError) || error.code === "INTERNAL") throw error;
      this.damages.push({ offset: found.offset, message: error.message, hostile: error.code === "ARCHIVE_HOSTILE" });
      return undefined;
    }
  }

  #readEnd(found: FoundRecord): void {
    try {
      if (found.header.type === RecordType.table) {
        this.#end.place("tableOffset", found.offset);
        this.tables.push(decodeTable(found.payload));
      } else if (found.header.type === RecordType.summary) {
        this.#end.place("summaryOffset", found.offset);
        this.summary = decodeSummary(found.payload);
      } else if (found.header.type === RecordType.footer) {
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

/** Bytes of tar that a preamble may have. */
const preambleMax = 64 * 1024;

/** True where a group ends between two blocks by its size, so that its segment must have come: it is lost. Bounds what is held, too. */
function isPastGroup(first: BlockRecord | undefined, next: BlockRecord): boolean {
  if (first === undefined) return false;
  const { groupBlocks, groupBytes } = limits;
  return next.number - first.number >= groupBlocks || next.tarOffset - first.tarOffset >= groupBytes;
}
