// The records of one archive in their order, each checked against the chain. A block record that alone is lost is made again (lost-block.ts) and handed
// out in its place: who reads on need not know.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { blockPayloadLengthAt, decodeBlock } from "../format/block.ts";
import { extendChain, startChain } from "../format/chain.ts";
import { decodeFooter } from "../format/footer.ts";
import { blockPayloadLength, decodeRecordHeader, recordHeaderLength, RecordType } from "../format/record.ts";
import { limits } from "../base/limits.ts";
import type { BlockRecord, Footer } from "../model/archive.ts";
import type { Damage } from "./damage.ts";
import type { ArchiveInput } from "./input.ts";
import { type BlockTraits, LostBlocks } from "./lost-block.ts";
import { type FoundRecord, type Gap, RecordWalker } from "./records.ts";

export interface ChainedRecord extends FoundRecord {
  /** Of a record that was made again: the frame behind it, which the input has passed. */
  readonly frame?: {
    readonly offset: number;
    readonly bytes: Uint8Array;
    /** The chain does not prove the record: it has no digest. */
    readonly isUnproved: boolean;
  };
}

/** Where a block record may have been, by what stands on both sides of it. */
interface Suspicion {
  /** Of the record. */
  readonly offset: number;
  /** Of the record, and where its frame begins, if nothing else stood there. */
  readonly payloadLength: number;
  readonly frameOffset: number;
  readonly chain: Uint8Array;
  readonly gap: Gap;
  readonly end: number;
  /** Nothing else is lost: the chain can prove it. */
  readonly isAlone: boolean;
}

/** What is told of a record that was made again. */
export const rebuiltMessage = "a block record is damaged: it was made again, and the records behind it prove it";
export const unprovedMessage =
  "a block record is lost together with what stood before it: its block is taken if the catalog and all digests of its files prove it";

/** Bytes of records that are read ahead for the next chain value: a catalog segment, a head. */
const aheadBytesMax = limits.segmentPayloadBytes + limits.headPayloadBytes + 2 * recordHeaderLength;

export class ChainedRecords {
  readonly #input: ArchiveInput;
  readonly #walker: RecordWalker;
  readonly #traits: BlockTraits;
  readonly #lostBlocks: LostBlocks;
  /** Of the walker. */
  readonly #damages: Damage[];
  readonly #ready: ChainedRecord[] = [];
  /** Chain value before the next record; undefined: not known. */
  #chain: Uint8Array | undefined;
  #sequence = -1;
  /** The block before the next record. */
  #block: Uint8Array | undefined;
  /** Where the record behind the head must begin. */
  #headEnd = 0;

  /** `damages`: where the walker notes what it meets. */
  constructor(input: ArchiveInput, walker: RecordWalker, traits: BlockTraits, damages: Damage[]) {
    this.#input = input;
    this.#walker = walker;
    this.#traits = traits;
    this.#lostBlocks = new LostBlocks(traits);
    this.#damages = damages;
  }

  /** Starts at the first head, which the input has passed, or which is known by its copy. */
  startBehind(headRecord: Uint8Array, headOffset: number): void {
    this.#chain = startChain(this.#traits.digest.hash, headRecord);
    this.#sequence = 0;
    this.#headEnd = headOffset + headRecord.length;
  }

  /** The next whole record, or one that was made again. Who takes a block record moves the input behind its frame. */
  async next(): Promise<ChainedRecord | undefined> {
    if (this.#ready.length === 0) await this.#read();
    return this.#ready.shift();
  }

  async #read(): Promise<void> {
    const known = this.#damages.length;
    const found = await this.#walker.next();
    if (found === undefined) return;
    const suspicion = this.#suspicionBefore(found);
    if (suspicion === undefined) {
      this.#take(found);
      return;
    }
    const news = this.#damages.length - known;
    const behind = await this.#readAhead(found);
    const rebuilt = await this.#rebuild(suspicion, behind);
    if (rebuilt?.frame?.isUnproved === true) {
      this.#damages.push({ offset: rebuilt.offset, message: unprovedMessage });
      this.#take(rebuilt);
    } else if (rebuilt !== undefined) {
      this.#damages.splice(known, news, { offset: suspicion.offset, message: rebuiltMessage });
      this.#take(rebuilt);
      behind[0] = { ...found, afterGap: false };
    }
    for (const record of behind) this.#take(record);
  }

  #take(record: ChainedRecord): void {
    const { hash } = this.#traits.digest;
    if (record.afterGap) this.#chain = undefined;
    const stated = statedChain(record);
    if (stated !== undefined) {
      if (this.#chain !== undefined && !equalBytes(this.#chain, stated)) {
        const message = "the records before this one are not those it was written after";
        this.#damages.push({ offset: record.offset, message });
      }
      this.#chain = stated;
    }
    if (record.header.sequence === 0) this.#chain = startChain(hash, record.bytes);
    else if (this.#chain !== undefined) this.#chain = extendChain(hash, this.#chain, record.bytes);
    if (record.header.type === RecordType.block) this.#block = record.payload;
    this.#sequence = record.header.sequence;
    this.#headEnd = 0;
    this.#ready.push(record);
  }

  /** Records are missing before this one, and the bytes there may be those of a block. With it a segment and a copy of the head may be lost. */
  #suspicionBefore({ header, offset: end, gap }: FoundRecord): Suspicion | undefined {
    const chain = this.#chain;
    const missing = header.sequence - this.#sequence - 1;
    if (chain === undefined || gap === undefined || missing < 1 || missing > 3) return undefined;
    const offset = Math.max(gap.start, this.#headEnd);
    const payloadLength = blockPayloadLengthAt(offset, this.#traits.format);
    const frameOffset = offset + recordHeaderLength + payloadLength;
    if (frameOffset >= end || end - frameOffset > limits.frameBytes) return undefined;
    return { offset, payloadLength, frameOffset, chain, gap, end, isAlone: missing === 1 };
  }

  /** The records up to the one that states the chain; fewer where it cannot be told any more. The input stands behind the last. */
  async #readAhead(first: FoundRecord): Promise<FoundRecord[]> {
    const found = [first];
    let bytes = first.bytes.length;
    for (let last = first; statedChain(last) === undefined && bytes <= aheadBytesMax; ) {
      const next = await this.#walker.next();
      if (next === undefined) break;
      found.push(next);
      if (next.afterGap) break;
      bytes += next.bytes.length;
      last = next;
    }
    return found;
  }

  async #rebuild(suspicion: Suspicion, ahead: readonly FoundRecord[]): Promise<ChainedRecord | undefined> {
    const [first, last] = [ahead[0] as FoundRecord, ahead.at(-1) as FoundRecord];
    if (statedChain(last) === undefined || (last.afterGap && last !== first)) return undefined;
    const { frameOffset: start, gap, end, isAlone } = suspicion;
    const bytes = await this.#bytesAt(start, end - start, gap);
    if (bytes === undefined) return undefined;
    try {
      const { header, payload } = last;
      const next = header.type === RecordType.footer ? decodeFooter(payload) : decodeBlock(payload);
      const previous = this.#block === undefined ? undefined : decodeBlock(this.#block);
      if (isAlone) return this.#proved(suspicion, bytes, ahead, previous, next);
      const found = previous === undefined ? undefined : await this.#lostBlocks.find(bytes, previous, next);
      if (found === undefined) return undefined;
      const record = this.#lostBlocks.encode(found.record, first.header.sequence - 1, blockPayloadLength);
      const frameOffset = end - found.frame.length;
      const frame = { offset: frameOffset, bytes: found.frame, isUnproved: true };
      return { ...partsOf(record), offset: frameOffset - record.length, afterGap: true, frame };
    } catch (error) {
      if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return undefined; // told by who takes the record
      throw error;
    }
  }

  #proved(
    { offset, payloadLength, frameOffset, chain }: Suspicion,
    frame: Uint8Array,
    ahead: readonly FoundRecord[],
    previous: BlockRecord | undefined,
    next: BlockRecord | Footer,
  ): ChainedRecord | undefined {
    const behind = ahead.slice(0, -1).map((record) => record.bytes);
    const lost = { sequence: this.#sequence + 1, payloadLength, chain, previous, frame, behind, next };
    const record = this.#lostBlocks.rebuild(lost);
    if (record === undefined) return undefined;
    const place = { offset: frameOffset, bytes: frame, isUnproved: false };
    return { ...partsOf(record), offset, afterGap: false, frame: place };
  }

  /** Bytes that the input has passed. */
  async #bytesAt(offset: number, length: number, gap: Gap): Promise<Uint8Array | undefined> {
    if (gap.bytes !== undefined) return gap.bytes.subarray(offset - gap.start, offset - gap.start + length);
    const { position } = this.#input;
    if (!this.#input.seek(offset)) return undefined;
    const bytes = await this.#input.take(length);
    this.#input.seek(position);
    return bytes.length === length ? bytes : undefined;
  }
}

/** A block, and whether its record had to be made again. */
export interface ChainedBlock {
  readonly record: BlockRecord;
  /** Offset of its record, and of its frame. */
  readonly offset: number;
  readonly frameOffset: number;
  readonly isRebuilt: boolean;
  /** See BlockLocation. */
  readonly isUnproved: boolean;
}

/**
 * The blocks of a file from an offset on, as far as their records can be used; damage is told to nobody. `head`: where it stands at the offset, and may be
 * lost there.
 */
export async function* blocksFrom(
  input: ArchiveInput,
  offset: number,
  traits: BlockTraits,
  head?: Uint8Array,
): AsyncGenerator<ChainedBlock, void> {
  const damages: Damage[] = [];
  const walker = new RecordWalker(input, (damage) => damages.push(damage));
  const records = new ChainedRecords(input, walker, traits, damages);
  walker.follow(traits.archiveId, -1);
  if (head !== undefined) records.startBehind(head, offset);
  input.seek(offset);
  for (let found = await nextKnown(records); found !== undefined; found = await nextKnown(records)) {
    const record = legalBlock(found);
    if (record === undefined) continue;
    const isRebuilt = found.frame !== undefined;
    const frameOffset = found.frame?.offset ?? input.position;
    if (!isRebuilt) await input.skip(record.compressedLength);
    yield { record, offset: found.offset, frameOffset, isRebuilt, isUnproved: found.frame?.isUnproved === true };
  }
}

/** What stands behind a record that must not be passed over is not looked at. */
async function nextKnown(records: ChainedRecords): Promise<ChainedRecord | undefined> {
  try {
    return await records.next();
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_VERSION") return undefined;
    throw error;
  }
}

function partsOf(bytes: Uint8Array): Pick<FoundRecord, "header" | "payload" | "bytes"> {
  const { header } = decodeRecordHeader(bytes, 0);
  if (header === undefined) throw new TsfsaError("INTERNAL", "a record of our own making has a flaw");
  return { header, payload: bytes.subarray(recordHeaderLength), bytes };
}

function legalBlock({ header, payload }: FoundRecord): BlockRecord | undefined {
  if (header.type !== RecordType.block) return undefined;
  try {
    return decodeBlock(payload);
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return undefined;
    throw error;
  }
}

/** Blocks and the footer state the chain value before them. */
function statedChain({ header, payload }: FoundRecord): Uint8Array | undefined {
  if (header.type === RecordType.block) return payload.subarray(72, 88);
  if (header.type === RecordType.footer) return payload.subarray(32, 48);
  return undefined;
}
