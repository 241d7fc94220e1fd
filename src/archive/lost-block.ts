// A block record that is lost, made again from the records around it and from its frame (docs/FORMAT.md, section 2). What they do not tell is tried: only
// the record that was written gives the chain value that the records behind it state, so that one proves itself, and with its digest the frame.

import { fromHex } from "../base/bytes.ts";
import { leafSizeBytes, limits } from "../base/limits.ts";
import type { Digest } from "../codec/digest.ts";
import { encodeBlock, endBlockLength, endSourceId } from "../format/block.ts";
import type { BlockRecord, Codec, Footer, Head } from "../model/archive.ts";
import type { ArchiveInput } from "./input.ts";

/** What all records of an archive have in common. */
export interface ArchiveTraits {
  /** 16 bytes. */
  readonly archiveId: Uint8Array;
  readonly digest: Digest;
  readonly codec: Codec;
  /** Number of the archive's sources. */
  readonly sources: number;
  /** Format version of the archive. */
  readonly format: number;
  /** Payload of the head; undefined: it is lost. */
  readonly headPayload: Uint8Array | undefined;
}

export function traitsOf(head: Head, headPayload: Uint8Array, digest: Digest): ArchiveTraits {
  const { codec, sources, format } = head;
  const archiveId = fromHex(head.archiveId) as Uint8Array;
  return { archiveId, digest, codec, sources: sources.length, format, headPayload };
}

/** A lost block record and what is left around it. */
export interface LostBlock {
  /** Bytes of the payload of its record. */
  readonly payloadLength: number;
  /** Chain value before its record. */
  readonly chain: Uint8Array;
  /** The block before it; undefined: it is the first. */
  readonly previous: BlockRecord | undefined;
  readonly frame: Uint8Array;
  /** What states the chain next: the block behind it, or the footer. */
  readonly next: BlockRecord | Footer;
}

/** Records that are tried, for one archive: offsets in a file with a hole of 40 GiB. And bytes that are looked at for them. */
const triedMax = 40 * 1024;
const triedBytesMax = 192 * 1024 * 1024;
/** Bytes of tar that a preamble may have. */
const preambleBytesMax = 64 * 1024;
const tarBlock = 512;
/** Some milliseconds, where few records follow. */
const triesBetweenPauses = 256;

export class LostBlocks {
  readonly #traits: ArchiveTraits;
  readonly #input: Pick<ArchiveInput, "pause">;
  #tried = 0;
  #triedBytes = 0;

  constructor(traits: ArchiveTraits, input: Pick<ArchiveInput, "pause">) {
    this.#traits = traits;
    this.#input = input;
  }

  /** The payload of the record; undefined: none that could have stood there is proved. `proofBytes`: see SegmentRepair. */
  async rebuild(
    lost: LostBlock,
    proofBytes: number,
    isProved: (payload: Uint8Array) => boolean,
  ): Promise<Uint8Array | undefined> {
    for (const block of this.#candidates(lost, this.#traits.digest.block(lost.frame))) {
      if (++this.#tried % triesBetweenPauses === 0) await this.#input.pause();
      if (this.#tried > triedMax || this.#triedBytes > triedBytesMax) break;
      const payload = encodeBlock(block, lost.payloadLength);
      this.#triedBytes += payload.length + proofBytes;
      if (isProved(payload)) return payload;
    }
    return undefined;
  }

  /** The records that its neighbours leave possible, the likeliest first. */
  *#candidates({ frame, chain, previous, next }: LostBlock, digest: Uint8Array): Generator<BlockRecord, void> {
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
