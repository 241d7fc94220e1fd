// A block record that is lost, made again from the records around it and from its frame (docs/FORMAT.md, section 2). What they do not tell is tried: only
// the record that was written gives the chain value that the records behind it state, so that one proves itself, and with its digest the frame.
// Where the chain is lost, too, a frame is only found: what it holds must prove it.

import { compareBytes, equalBytes, fromHex } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { leafSizeBytes, limits } from "../base/limits.ts";
import { createDecoder, type FrameDecoder, frameMagics } from "../codec/codec.ts";
import type { Digest } from "../codec/digest.ts";
import { encodeBlock, endBlockLength, endSourceId, recordDigestLength } from "../format/block.ts";
import { extendChain } from "../format/chain.ts";
import { encodeRecord, RecordType } from "../format/record.ts";
import type { BlockRecord, Codec, Footer, Head } from "../model/archive.ts";

/** What all blocks of an archive have in common. */
export interface BlockTraits {
  /** 16 bytes. */
  readonly archiveId: Uint8Array;
  readonly digest: Digest;
  readonly codec: Codec;
  /** Number of the archive's sources. */
  readonly sources: number;
  /** Format version of the archive. */
  readonly format: number;
}

export function traitsOf(head: Head, digest: Digest): BlockTraits {
  const { codec, sources, format } = head;
  return { archiveId: fromHex(head.archiveId) as Uint8Array, digest, codec, sources: sources.length, format };
}

/** A lost block record and what is left around it. */
export interface LostBlock {
  /** Sequence number of its record, and bytes of its payload. */
  readonly sequence: number;
  readonly payloadLength: number;
  /** Chain value before its record. */
  readonly chain: Uint8Array;
  /** The block before it; undefined: it is the first. */
  readonly previous: BlockRecord | undefined;
  readonly frame: Uint8Array;
  /** Records that follow it, up to the one that states the chain next. */
  readonly behind: readonly Uint8Array[];
  /** That one: the next block, or the footer. */
  readonly next: BlockRecord | Footer;
}

/** A block whose record is lost together with what stood before it, so that the chain cannot prove it. */
export interface UnprovedBlock {
  /** Without digest and chain value. */
  readonly record: BlockRecord;
  readonly frame: Uint8Array;
}

/** Frames that are tried, for one archive: each may be decompressed to the length of a block before it fails. */
const triedFramesMax = 64;
const noDigest = new Uint8Array(recordDigestLength);
/** Bytes that are hashed to try records, for one archive: offsets in a file with a hole of 40 GiB. */
const triedBytesMax = 8 * 1024 * 1024;
/** Bytes of tar that a preamble may have. */
const preambleBytesMax = 64 * 1024;
const tarBlock = 512;

export class LostBlocks {
  readonly #traits: BlockTraits;
  #triedBytes = 0;
  #triedFrames = 0;

  constructor(traits: BlockTraits) {
    this.#traits = traits;
  }

  /** All bytes of the record; undefined: none that could have stood there is proved. */
  rebuild(lost: LostBlock): Uint8Array | undefined {
    const { digest } = this.#traits;
    const { sequence, payloadLength, behind, next } = lost;
    const behindBytes = behind.reduce((sum, { length }) => sum + length, 0);
    for (const block of this.#candidates(lost, digest.block(lost.frame))) {
      if (this.#triedBytes > triedBytesMax) break;
      const record = this.encode(block, sequence, payloadLength);
      this.#triedBytes += record.length + behindBytes;
      let chain = lost.chain;
      for (const bytes of [record, ...behind]) chain = extendChain(digest.hash, chain, bytes);
      if (compareBytes(chain, next.chain) === 0) return record;
    }
    return undefined;
  }

  /** All bytes of a block's record. */
  encode(block: BlockRecord, sequence: number, payloadLength: number): Uint8Array {
    return encodeRecord(RecordType.block, this.#traits.archiveId, sequence, encodeBlock(block, payloadLength));
  }

  /**
   * The frame of a plain block that ends a gap, found by its own checksum, and the record that its neighbours leave possible. Undefined: there is none, or
   * more than one is possible.
   */
  async find(gap: Uint8Array, previous: BlockRecord, next: BlockRecord | Footer): Promise<UnprovedBlock | undefined> {
    const { codec } = this.#traits;
    const lost = { frame: gap, chain: noDigest, previous, next };
    const candidates = this.#candidates(lost, noDigest);
    const { value: record } = candidates.next();
    if (record === undefined || candidates.next().done !== true) return undefined;
    if (record.end || record.continuation !== undefined) return undefined;
    const decoder = await createDecoder(codec);
    const tar = new Uint8Array(record.uncompressedLength);
    const magic = frameMagics[codec];
    for (let at = gap.indexOf(magic[0] as number); at >= 0; at = gap.indexOf(magic[0] as number, at + 1)) {
      if (!equalBytes(gap.subarray(at, at + magic.length), magic)) continue;
      if (this.#triedFrames++ >= triedFramesMax) break;
      const frame = gap.subarray(at);
      if (isFrameOf(decoder, tar, frame)) return { record: { ...record, compressedLength: frame.length }, frame };
    }
    return undefined;
  }

  /** The records that its neighbours leave possible, the likeliest first. */
  *#candidates(
    { frame, chain, previous, next }: Pick<LostBlock, "frame" | "chain" | "previous" | "next">,
    digest: Uint8Array,
  ): Generator<BlockRecord, void> {
    const number = previous === undefined ? 0 : previous.number + 1;
    const firstEntry = previous === undefined ? 0 : previous.firstEntry + previous.entryCount;
    const end = "blocks" in next;
    const entryCount = (end ? next.entries : next.firstEntry) - firstEntry;
    const isAlone = (end ? next.blocks : next.number) === number + 1;
    if (!isAlone || entryCount < 0 || entryCount > limits.blockEntries) return;
    const { codec } = this.#traits;
    const numbers = { number, compressedLength: frame.length, firstEntry, entryCount };
    const shared = { ...numbers, codec, end, digest, chain };
    const entry = !end && entryCount === 0 ? firstEntry - 1 : undefined;
    if (entry === -1) return;
    for (const tarOffset of tarOffsets(previous)) {
      const uncompressedLength = end ? endBlockLength : next.tarOffset - tarOffset;
      const isLegal = uncompressedLength > 0 && uncompressedLength <= limits.blockBytes;
      if (!isLegal || !Number.isSafeInteger(tarOffset)) continue;
      const place = { ...shared, tarOffset, uncompressedLength };
      if (entry === undefined) {
        for (const sourceId of this.#sourceIds(previous, next)) yield { ...place, sourceId };
        continue;
      }
      for (const fileOffset of fileOffsets(entry, previous, next)) {
        for (const sourceId of this.#sourceIds(previous, next)) {
          yield { ...place, sourceId, continuation: { entry, fileOffset } };
        }
      }
    }
  }

  *#sourceIds(previous: BlockRecord | undefined, next: BlockRecord | Footer): Generator<number, void> {
    if ("blocks" in next) yield endSourceId;
    else {
      const last = next.end ? this.#traits.sources - 1 : next.sourceId;
      for (let id = previous?.sourceId ?? 0; id <= last; id++) yield id;
    }
  }
}

function isFrameOf(decoder: FrameDecoder, tar: Uint8Array, frame: Uint8Array): boolean {
  try {
    decoder.decompress(tar, frame);
    return true;
  } catch (error) {
    if (error instanceof TsfsaError && error.code === "ARCHIVE_DAMAGED") return false;
    throw error;
  }
}

/** The first block stands behind the preamble. */
function* tarOffsets(previous: BlockRecord | undefined): Generator<number, void> {
  if (previous !== undefined) yield previous.tarOffset + previous.uncompressedLength;
  else for (let offset = 2 * tarBlock; offset <= preambleBytesMax; offset += tarBlock) yield offset;
}

/** Where a file can go on: without holes at the first of them. */
function* fileOffsets(
  entry: number,
  previous: BlockRecord | undefined,
  next: BlockRecord | Footer,
): Generator<number, void> {
  const before = continuationOf(previous, entry);
  const from = before === undefined ? 0 : before.fileOffset + (previous?.uncompressedLength ?? 0);
  const end = continuationOf(next, entry)?.fileOffset ?? Number.MAX_SAFE_INTEGER;
  for (let offset = Math.ceil(from / leafSizeBytes) * leafSizeBytes; offset < end; offset += leafSizeBytes)
    yield offset;
}

function continuationOf(block: BlockRecord | Footer | undefined, entry: number): BlockRecord["continuation"] {
  const continuation = block !== undefined && "continuation" in block ? block.continuation : undefined;
  return continuation?.entry === entry ? continuation : undefined;
}
