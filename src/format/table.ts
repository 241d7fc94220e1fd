// The payload of a table record: where every block and catalog segment stands (docs/FORMAT.md, section 8).
//
//   0  8  number of blocks     8  8  number of segments     16  40 × blocks, then 32 × segments
//
//   block:    0 8 offset of its record   8 4 compressed length   12 4 uncompressed length   16 8 first entry   24 8 tar offset
//            32 4 entries that start    36 4 flags, source id in bits 16 to 31
//   segment:  0 8 offset of its record   8 4 payload length      12 4 entries               16 8 first entry   24 8 first block

import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { Table, TableBlock, TableSegment } from "../model/archive.ts";

const headLength = 16;
const blockLength = 40;
const segmentLength = 32;
const flags = { continuation: 1, end: 2 } as const;

/** Blocks that one table record of full size can hold beside `segments` segments. */
export function tableCapacity(segments: number): number {
  return Math.floor((limits.tablePayloadBytes - headLength - segments * segmentLength) / blockLength);
}

/** Payload of a table record. Throws INTERNAL when it is longer than a record may be: then split it. */
export function encodeTable(table: Table): Uint8Array {
  const length = headLength + table.blocks.length * blockLength + table.segments.length * segmentLength;
  if (length > limits.tablePayloadBytes) throw new TsfsaError("INTERNAL", `a table of ${length} bytes is too long`);
  const writer = new ByteWriter(length);
  writer.u64(table.blocks.length);
  writer.u64(table.segments.length);
  for (const block of table.blocks) {
    writer.u64(block.offset);
    writer.u32(block.compressedLength);
    writer.u32(block.uncompressedLength);
    writer.u64(block.firstEntry);
    writer.u64(block.tarOffset);
    writer.u32(block.entryCount);
    writer.u16((block.continuation ? flags.continuation : 0) | (block.end ? flags.end : 0));
    writer.u16(block.sourceId);
  }
  for (const segment of table.segments) {
    writer.u64(segment.offset);
    writer.u32(segment.payloadLength);
    writer.u32(segment.entryCount);
    writer.u64(segment.firstEntry);
    writer.u64(segment.firstBlock);
  }
  return writer.view();
}

/** Reads and checks a table: counts against its length first, then that offsets and numbers ascend. Throws ARCHIVE_DAMAGED. */
export function decodeTable(payload: Uint8Array): Table {
  const reader = new ByteReader(payload, "table record");
  const blockCount = reader.u64();
  const segmentCount = reader.u64();
  if (payload.length !== headLength + blockCount * blockLength + segmentCount * segmentLength) {
    throw reader.damage(`${blockCount} blocks and ${segmentCount} segments do not make ${payload.length} bytes`);
  }
  const blocks: TableBlock[] = [];
  for (let index = 0; index < blockCount; index++) blocks.push(decodeTableBlock(reader, blocks.at(-1)));
  const segments: TableSegment[] = [];
  for (let index = 0; index < segmentCount; index++) segments.push(decodeTableSegment(reader, segments.at(-1)));
  return { blocks, segments };
}

function decodeTableBlock(reader: ByteReader, previous: TableBlock | undefined): TableBlock {
  const offset = reader.u64();
  const compressedLength = reader.u32();
  const uncompressedLength = reader.u32();
  const firstEntry = reader.u64();
  const tarOffset = reader.u64();
  const entryCount = reader.u32();
  const bits = reader.u16();
  const sourceId = reader.u16();
  if (bits > (flags.continuation | flags.end)) throw reader.damage("reserved flags are set");
  if (compressedLength === 0 || compressedLength > limits.frameBytes) throw reader.damage("illegal compressed length");
  if (uncompressedLength === 0 || uncompressedLength % 512 !== 0 || uncompressedLength > limits.blockBytes) {
    throw reader.damage("illegal uncompressed length");
  }
  if (
    previous !== undefined &&
    (offset < previous.offset + previous.compressedLength ||
      tarOffset !== previous.tarOffset + previous.uncompressedLength ||
      firstEntry !== previous.firstEntry + previous.entryCount)
  ) {
    throw reader.damage("blocks are not in order");
  }
  return {
    offset,
    compressedLength,
    uncompressedLength,
    firstEntry,
    tarOffset,
    entryCount,
    sourceId,
    continuation: (bits & flags.continuation) !== 0,
    end: (bits & flags.end) !== 0,
  };
}

function decodeTableSegment(reader: ByteReader, previous: TableSegment | undefined): TableSegment {
  const segment = {
    offset: reader.u64(),
    payloadLength: reader.u32(),
    entryCount: reader.u32(),
    firstEntry: reader.u64(),
    firstBlock: reader.u64(),
  };
  if (segment.payloadLength > limits.segmentPayloadBytes) throw reader.damage("a segment is too long");
  if (
    previous !== undefined &&
    (segment.offset < previous.offset + previous.payloadLength ||
      segment.firstEntry !== previous.firstEntry + previous.entryCount ||
      segment.firstBlock <= previous.firstBlock)
  ) {
    throw reader.damage("segments are not in order");
  }
  return segment;
}
