// Records that one bad sector has taken, made again from what is left around them (docs/FORMAT.md, section 2): a block record (lost-block.ts), a catalog
// segment by its parity, the copy of the head. Only what gives the chain value that the records behind state is what was written.

import { equalBytes } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import { blockPayloadLengthAt } from "../format/block.ts";
import { extendChain } from "../format/chain.ts";
import { decodeRecordHeader, encodeRecord, recordHeaderLength, RecordType } from "../format/record.ts";
import { sectorProofSince } from "../format/version.ts";
import type { BlockRecord, Footer } from "../model/archive.ts";
import type { ArchiveInput } from "./input.ts";
import { type ArchiveTraits, LostBlocks } from "./lost-block.ts";
import type { FoundRecord } from "./records.ts";
import { SegmentRepair } from "./segment-repair.ts";

/** Bytes without a whole record, and what stands on both sides of them. */
export interface Gap {
  /** Of the first record that is missing, and its sequence number. */
  readonly offset: number;
  readonly sequence: number;
  readonly missing: number;
  /** From that offset to the next whole record. */
  readonly bytes: Uint8Array;
  /** Chain value before the first one that is missing. */
  readonly chain: Uint8Array;
  /** The block before it. */
  readonly previous: BlockRecord | undefined;
  /** The first one that is missing is the copy of the head. */
  readonly isHeadFirst: boolean;
  /** Records behind the gap, up to the one that states the chain next. */
  readonly behind: readonly Uint8Array[];
  /** That one. */
  readonly next: BlockRecord | Footer;
}

/** A record, whole or made again. */
export interface ChainedRecord extends FoundRecord {
  /** Of a block record that was made again: its frame. */
  readonly frame?: { readonly offset: number; readonly bytes: Uint8Array };
}

/** Most records that are made again together: the copy of the head, and the one behind it. */
export const missingMax = 2;

export class LostRecords {
  readonly #traits: ArchiveTraits;
  readonly #blocks: LostBlocks;
  readonly #segments: SegmentRepair;

  constructor(traits: ArchiveTraits, input: ArchiveInput) {
    this.#traits = traits;
    this.#blocks = new LostBlocks(traits, input);
    this.#segments = new SegmentRepair(input);
  }

  /** All that are missing, in order; none where the chain does not prove them. */
  async rebuild(gap: Gap): Promise<ChainedRecord[]> {
    const { headPayload } = this.#traits;
    if (!gap.isHeadFirst || headPayload === undefined) return this.#rebuildOne(gap);
    const copy = this.#record(RecordType.head, headPayload, gap);
    const { length } = copy.bytes;
    const rest = {
      ...gap,
      offset: gap.offset + length,
      sequence: gap.sequence + 1,
      missing: gap.missing - 1,
      bytes: gap.bytes.subarray(length),
      chain: extendChain(this.#traits.digest.hash, gap.chain, copy.bytes),
    };
    if (rest.missing === 0) return rest.bytes.length === 0 && this.#proves(rest.chain, gap) ? [copy] : [];
    const others = await this.#rebuildOne(rest);
    return others.length === 0 ? [] : [copy, ...others];
  }

  async #rebuildOne(gap: Gap): Promise<ChainedRecord[]> {
    if (gap.missing !== 1) return [];
    const record = (await this.#block(gap)) ?? (await this.#segment(gap));
    return record === undefined ? [] : [record];
  }

  async #block(gap: Gap): Promise<ChainedRecord | undefined> {
    const { offset, bytes } = gap;
    const payloadLength = blockPayloadLengthAt(offset, this.#traits.format);
    const frame = bytes.subarray(recordHeaderLength + payloadLength);
    if (frame.length === 0 || frame.length > limits.frameBytes) return undefined;
    const isProved = this.#proofOf(RecordType.block, gap);
    const payload = await this.#blocks.rebuild({ ...gap, payloadLength, frame }, proofBytes(gap), isProved);
    if (payload === undefined) return undefined;
    const place = { offset: offset + recordHeaderLength + payloadLength, bytes: frame };
    return { ...this.#record(RecordType.block, payload, gap), frame: place };
  }

  async #segment(gap: Gap): Promise<ChainedRecord | undefined> {
    const damaged = gap.bytes.subarray(recordHeaderLength);
    if (this.#traits.format < sectorProofSince || damaged.length > limits.segmentPayloadBytes) return undefined;
    const isProved = this.#proofOf(RecordType.segment, gap);
    const payload = await this.#segments.repair(damaged, gap.offset + recordHeaderLength, proofBytes(gap), isProved);
    return payload === undefined ? undefined : this.#record(RecordType.segment, payload, gap);
  }

  /** Whether a payload is that of the record that is missing. */
  #proofOf(type: RecordType, gap: Gap): (payload: Uint8Array) => boolean {
    const { archiveId, digest } = this.#traits;
    return (payload) => {
      const record = encodeRecord(type, archiveId, gap.sequence, payload);
      return this.#proves(extendChain(digest.hash, gap.chain, record), gap);
    };
  }

  /** The chain leads from there to the value that is stated next. */
  #proves(chain: Uint8Array, { behind, next }: Gap): boolean {
    let value = chain;
    for (const bytes of behind) value = extendChain(this.#traits.digest.hash, value, bytes);
    return equalBytes(value, next.chain);
  }

  #record(type: RecordType, payload: Uint8Array, { sequence, offset }: Gap): ChainedRecord {
    const bytes = encodeRecord(type, this.#traits.archiveId, sequence, payload);
    const { header } = decodeRecordHeader(bytes, 0);
    if (header === undefined) throw new TsfsaError("INTERNAL", "a record of our own making has a flaw");
    return { header, payload: bytes.subarray(recordHeaderLength), bytes, offset, afterGap: false, isRepaired: true };
  }
}

/** Bytes that the proof of a payload looks at besides. */
function proofBytes({ behind }: Gap): number {
  return behind.reduce((sum, { length }) => sum + length, recordHeaderLength);
}
