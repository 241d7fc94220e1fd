// The records of one archive in their order, each checked against the chain. What one bad sector can take of them is made again (lost-records.ts) and
// handed out in its place: who reads on need not know.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { decodeBlock } from "../format/block.ts";
import { extendChain, startChain } from "../format/chain.ts";
import { decodeFooter } from "../format/footer.ts";
import { encodeRecord, recordHeaderLength, RecordType } from "../format/record.ts";
import { decodeSegmentHeader } from "../format/segment.ts";
import type { BlockRecord } from "../model/archive.ts";
import type { Damage } from "./damage.ts";
import type { ArchiveInput } from "./input.ts";
import type { ArchiveTraits } from "./lost-block.ts";
import { type ChainedRecord, LostRecords, missingMax } from "./lost-records.ts";
import { type FoundRecord, gapBytesMax, type PassedBytes, RecordWalker, repairedMessage } from "./records.ts";

/** What is told of a block record that was made again. */
export const rebuiltMessage = "a block record is damaged: it was made again, and the records behind it prove it";
const headMessage = "the copy of the head is damaged: the first is whole";

/** Bytes of records that are read ahead for the next chain value: a catalog segment, a head. */
const aheadBytesMax = limits.segmentPayloadBytes + limits.headPayloadBytes + 2 * recordHeaderLength;

export class ChainedRecords {
  readonly #input: ArchiveInput;
  readonly #walker: RecordWalker;
  readonly #traits: ArchiveTraits;
  readonly #lost: LostRecords;
  /** Of the walker. */
  readonly #damages: Damage[];
  readonly #ready: ChainedRecord[] = [];
  /** Chain value before the next record; undefined: not known. */
  #chain: Uint8Array | undefined;
  #sequence = -1;
  /** Payload of the block before the next record. */
  #block: Uint8Array | undefined;
  /** The copy of the head follows. */
  #headFollows = false;
  /** Where the record behind the head must begin. */
  #headEnd = 0;

  /** `damages`: where the walker notes what it meets. */
  constructor(input: ArchiveInput, walker: RecordWalker, traits: ArchiveTraits, damages: Damage[]) {
    this.#input = input;
    this.#walker = walker;
    this.#traits = traits;
    this.#lost = new LostRecords(traits, input);
    this.#damages = damages;
  }

  /** Starts at the first head, which the input has passed, or which is known by its copy. */
  startBehind(headOffset: number): void {
    const { archiveId, digest, headPayload } = this.#traits;
    if (headPayload === undefined) return;
    const head = encodeRecord(RecordType.head, archiveId, 0, headPayload);
    this.#chain = startChain(digest.hash, head);
    this.#sequence = 0;
    this.#headEnd = headOffset + head.length;
  }

  /** The next whole record, or one that was made again. Who takes a block record moves the input behind its frame, but of one with a frame: it is there. */
  async next(): Promise<ChainedRecord | undefined> {
    if (this.#ready.length === 0) await this.#read();
    return this.#ready.shift();
  }

  async #read(): Promise<void> {
    const known = this.#damages.length;
    const found = await this.#walker.next();
    if (found === undefined) return;
    const missing = found.header.sequence - this.#sequence - 1;
    if (found.passed === undefined || this.#chain === undefined || missing < 1 || missing > missingMax) {
      this.#take(found);
      return;
    }
    const news = this.#damages.length - known;
    const ahead = await this.#readAhead(found);
    const rebuilt = await this.#rebuild(this.#chain, missing, found.passed, ahead);
    if (rebuilt.length > 0) {
      const told = rebuilt.map(({ header, offset }) => ({ offset, message: messageOf(header.type), isHarmless: true }));
      this.#damages.splice(known, news, ...told);
      ahead[0] = { ...found, afterGap: false };
    }
    for (const record of [...rebuilt, ...ahead]) this.#take(record);
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
    this.#headFollows = isFirstSegment(record);
    this.#sequence = record.header.sequence;
    this.#headEnd = 0;
    this.#ready.push(record);
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

  /** The records that are missing before those ahead, if what is left proves them. */
  async #rebuild(
    chain: Uint8Array,
    missing: number,
    passed: PassedBytes,
    ahead: readonly FoundRecord[],
  ): Promise<ChainedRecord[]> {
    const [first, last] = [ahead[0] as FoundRecord, ahead.at(-1) as FoundRecord];
    if (last.afterGap && last !== first) return [];
    const next = legal(() => {
      if (last.header.type === RecordType.footer) return decodeFooter(last.payload);
      return last.header.type === RecordType.block ? decodeBlock(last.payload) : undefined;
    });
    const offset = Math.max(passed.start, this.#headEnd);
    const bytes = await this.#bytesAt(offset, first.offset - offset, passed);
    if (next === undefined || bytes === undefined) return [];
    const behind = ahead.slice(0, -1).map((record) => record.bytes);
    const sequence = this.#sequence + 1;
    const block = this.#block;
    const previous = block === undefined ? undefined : legal(() => decodeBlock(block));
    const around = { chain, previous, isHeadFirst: this.#headFollows, behind, next };
    return this.#lost.rebuild({ offset, sequence, missing, bytes, ...around });
  }

  /** Bytes that the input has passed; undefined where they are too many, or lost. */
  async #bytesAt(offset: number, length: number, { start, bytes }: PassedBytes): Promise<Uint8Array | undefined> {
    if (length <= 0 || length > gapBytesMax) return undefined;
    if (bytes !== undefined) return bytes.subarray(offset - start, offset - start + length);
    const { position } = this.#input;
    if (!this.#input.seek(offset)) return undefined;
    const read = await this.#input.take(length);
    this.#input.seek(position);
    return read.length === length ? read : undefined;
  }
}

/** A record; what it says of a block, if that is legal, and where the frame begins. */
export type PlacedRecord = ChainedRecord & { readonly block: BlockRecord | undefined; readonly frameOffset: number };

/**
 * The records of a file from an offset on, as far as they can be used; damage is told to nobody. `isHeadThere`: the first head stands at the offset, and
 * may be lost there.
 */
export async function* recordsFrom(
  input: ArchiveInput,
  offset: number,
  traits: ArchiveTraits,
  isHeadThere = false,
): AsyncGenerator<PlacedRecord, void> {
  const damages: Damage[] = [];
  const walker = new RecordWalker(input, (damage) => damages.push(damage));
  const records = new ChainedRecords(input, walker, traits, damages);
  walker.follow(traits.archiveId, -1);
  if (isHeadThere) records.startBehind(offset);
  input.seek(offset);
  for (let found = await nextKnown(records); found !== undefined; found = await nextKnown(records)) {
    const block = found.header.type === RecordType.block ? legal(() => decodeBlock(found.payload)) : undefined;
    const frameOffset = found.frame?.offset ?? input.position;
    if (block !== undefined && found.frame === undefined) await input.skip(block.compressedLength);
    yield { ...found, block, frameOffset };
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

function legal<Value>(decode: () => Value): Value | undefined {
  try {
    return decode();
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return undefined; // told by who takes the record
    throw error;
  }
}

function isFirstSegment({ header, payload }: FoundRecord): boolean {
  return header.type === RecordType.segment && legal(() => decodeSegmentHeader(payload))?.number === 0;
}

function messageOf(type: number): string {
  if (type === RecordType.head) return headMessage;
  return type === RecordType.segment ? repairedMessage : rebuiltMessage;
}

/** Blocks and the footer state the chain value before them. */
function statedChain({ header, payload }: FoundRecord): Uint8Array | undefined {
  if (header.type === RecordType.block) return payload.subarray(72, 88);
  if (header.type === RecordType.footer) return payload.subarray(32, 48);
  return undefined;
}
