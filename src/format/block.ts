// The payload of a block record: 112 bytes, and zeros up to where the data frame begins that it describes (docs/FORMAT.md, section 5).
//
//   0  8  block number                          36  2  source id, 0xFFFF in the end block    56 16  digest of the data frame
//   8  8  offset in the tar stream              38  1  codec: 1 zstd, 2 lz4                  72 16  chain value before this record
//  16  4  compressed length                     39  1  flags: 0 continuation, 1 end          88 24  zero
//  20  4  uncompressed length                   40  8  continuation: entry number
//  24  8  first entry that starts here          48  8  continuation: offset in the file             112  …  zero, up to 4,095 bytes
//  32  4  entries that start here

import { ByteReader, ByteWriter, isZeroRange } from "../base/bytes.ts";
import { leafSizeBytes, limits, sectorLength } from "../base/limits.ts";
import type { BlockRecord, Codec } from "../model/archive.ts";
import { blockPayloadLength, recordHeaderLength } from "./record.ts";
import { sectorProofSince } from "./version.ts";

/** Source id of the end-of-archive block. */
export const endSourceId = 0xffff;
/** Bytes of the block, file and chain digests that are kept in records. */
export const recordDigestLength = 16;
/** Bytes of tar in the end-of-archive block: two zero blocks of tar. */
export const endBlockLength = 1024;

const codecNumbers = { zstd: 1, lz4: 2 } as const satisfies Record<Codec, number>;

const blockFlags = { continuation: 1, end: 2 } as const;

/** Length of the payload of a block record at `offset` of an archive of format version `format`: up to the frame, 112 to 4,207 bytes. */
export function blockPayloadLengthAt(offset: number, format: number): number {
  if (format < sectorProofSince) return blockPayloadLength;
  const recordEnd = offset + recordHeaderLength + blockPayloadLength;
  return blockPayloadLength + Math.ceil(recordEnd / sectorLength) * sectorLength - recordEnd;
}

/** Payload of a block record. `length`: see blockPayloadLengthAt(). */
export function encodeBlock(block: BlockRecord, length: number): Uint8Array {
  const writer = new ByteWriter(length);
  writer.u64(block.number);
  writer.u64(block.tarOffset);
  writer.u32(block.compressedLength);
  writer.u32(block.uncompressedLength);
  writer.u64(block.firstEntry);
  writer.u32(block.entryCount);
  writer.u16(block.sourceId);
  writer.u8(codecNumbers[block.codec]);
  writer.u8((block.continuation ? blockFlags.continuation : 0) | (block.end ? blockFlags.end : 0));
  writer.u64(block.continuation?.entry ?? 0);
  writer.u64(block.continuation?.fileOffset ?? 0);
  writer.raw(block.digest);
  writer.raw(block.chain);
  writer.zeros(length - writer.length);
  return writer.take();
}

/** Reads and checks the payload of a block record. Throws ARCHIVE_DAMAGED for any illegal value. */
export function decodeBlock(payload: Uint8Array): BlockRecord {
  const reader = new ByteReader(payload, "block record");
  if (payload.length < blockPayloadLength) throw reader.damage(`${payload.length} bytes, expected at least 112`);
  const number = reader.u64();
  const tarOffset = reader.u64();
  const compressedLength = reader.u32();
  const uncompressedLength = reader.u32();
  const firstEntry = reader.u64();
  const entryCount = reader.u32();
  const sourceId = reader.u16();
  const codecNumber = reader.u8();
  const flags = reader.u8();
  const entry = reader.u64();
  const fileOffset = reader.u64();
  const digest = reader.raw(recordDigestLength).slice();
  const chain = reader.raw(recordDigestLength).slice();
  const codec = codecNumber === codecNumbers.zstd ? "zstd" : codecNumber === codecNumbers.lz4 ? "lz4" : undefined;
  const end = (flags & blockFlags.end) !== 0;
  const continues = (flags & blockFlags.continuation) !== 0;

  if (codec === undefined) throw reader.damage(`unknown codec ${codecNumber}`);
  if (flags > (blockFlags.continuation | blockFlags.end)) throw reader.damage("reserved flags are set");
  if (compressedLength === 0 || compressedLength > limits.frameBytes) {
    throw reader.damage(`illegal compressed length ${compressedLength}`);
  }
  if (uncompressedLength === 0 || uncompressedLength % 512 !== 0 || uncompressedLength > limits.blockBytes) {
    throw reader.damage(`illegal uncompressed length ${uncompressedLength}`);
  }
  if (tarOffset % 512 !== 0) throw reader.damage(`tar offset ${tarOffset} is no multiple of 512`);
  if (end !== (sourceId === endSourceId) || (!end && sourceId >= limits.sources)) {
    throw reader.damage(`illegal source id ${sourceId}`);
  }
  if (end && (continues || uncompressedLength !== endBlockLength)) {
    throw reader.damage("the end block holds more than the end of the tar stream");
  }
  if (continues && (entryCount !== 0 || entry >= firstEntry || fileOffset % leafSizeBytes !== 0)) {
    throw reader.damage("illegal continuation");
  }
  if (!continues && (entry !== 0 || fileOffset !== 0)) throw reader.damage("continuation fields in a plain block");
  if (!continues && !end && entryCount === 0) throw reader.damage("a plain block in which no entry starts");
  if (!isZeroRange(payload, 88, payload.length)) throw reader.damage("reserved bytes are not zero");
  return {
    number,
    tarOffset,
    compressedLength,
    uncompressedLength,
    firstEntry,
    entryCount,
    sourceId,
    codec,
    end,
    ...(continues ? { continuation: { entry, fileOffset } } : {}),
    digest,
    chain,
  };
}
