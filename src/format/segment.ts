// A catalog segment: which entries a group of blocks holds (docs/FORMAT.md, section 6). The payload is 24 bytes, a zstd frame and parity:
//
//   0  8  first entry     8  4  entries     12  4  segment     16  4  content length     20  4  first block     24  …  frame
//
// and the frame's content: blocks · ancestors · rows per block · completions · digests. Pack workers encode the rows of their block; who
// closes the group only concatenates them.

import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import { limits } from "../base/limits.ts";
import type { CatalogRow, Completion } from "../model/catalog.ts";
import { parityLength, withParity } from "./parity.ts";
import { encodeRow, writeExtents } from "./row.ts";
import { sectorProofSince } from "./version.ts";

const segmentHeaderLength = 24;

export interface SegmentHeader {
  readonly firstEntry: number;
  readonly entryCount: number;
  readonly number: number;
  readonly contentLength: number;
  readonly firstBlock: number;
}

/** Encoded rows of one block, in order, and the digests of those that have one. */
export interface EncodedRows {
  readonly count: number;
  readonly rows: Uint8Array;
  readonly digests: Uint8Array;
}

export interface SegmentContent {
  /** Names from the source's root (empty name) to the parent of the first entry; empty for a root or no entries. */
  readonly ancestors: readonly Uint8Array[];
  readonly blocks: readonly EncodedRows[];
  readonly completions: readonly Completion[];
}

export const completionFlags = { damaged: 1, changed: 2 } as const;

/** Collects the rows of one block. */
export class RowEncoder {
  readonly #rows = new ByteWriter(1 << 16);
  readonly #digests = new ByteWriter(1 << 14);
  #count = 0;

  /** Rows added since the last finish(). */
  get count(): number {
    return this.#count;
  }

  add(row: CatalogRow): void {
    encodeRow(this.#rows, row);
    if (row.digest !== undefined) this.#digests.raw(row.digest);
    this.#count++;
  }

  /** Adds rows that are encoded already, with the digests of those that have one. */
  addEncoded({ count, rows, digests }: EncodedRows): void {
    this.#rows.raw(rows);
    this.#digests.raw(digests);
    this.#count += count;
  }

  /** What was added since the last call, in buffers of its own. */
  finish(): EncodedRows {
    const encoded = { count: this.#count, rows: this.#rows.take(), digests: this.#digests.take() };
    this.#rows.clear();
    this.#digests.clear();
    this.#count = 0;
    return encoded;
  }
}

/** Content of a segment, not yet compressed. Throws INTERNAL when it is over 128 MiB: the group is then to be closed earlier. */
export function encodeSegmentContent(content: SegmentContent): Uint8Array {
  let rowBytes = 0;
  for (const block of content.blocks) rowBytes += block.rows.length + block.digests.length;
  const writer = new ByteWriter(rowBytes + 4096); // grows only for deep ancestors and completions
  writer.varint(content.blocks.length);
  writer.varint(content.ancestors.length);
  for (const name of content.ancestors) writer.byteString(name);
  for (const block of content.blocks) {
    writer.varint(block.count);
    writer.raw(block.rows);
  }
  writer.varint(content.completions.length);
  for (const completion of content.completions) {
    writer.varint(completion.entry);
    writer.u8((completion.damaged ? completionFlags.damaged : 0) | (completion.changed ? completionFlags.changed : 0));
    writer.raw(completion.digest);
    writer.varint(completion.damagedRanges.length);
    writeExtents(writer, completion.damagedRanges);
  }
  for (const block of content.blocks) writer.raw(block.digests);
  if (writer.length > limits.segmentContentBytes) {
    throw new TsfsaError("INTERNAL", `a catalog segment of ${writer.length} bytes is too long`);
  }
  return writer.view();
}

/** Payload of a segment record of an archive of format version `format`: header, the content as one zstd frame, parity. */
export function encodeSegment(header: SegmentHeader, frame: Uint8Array, format: number): Uint8Array {
  const writer = new ByteWriter(segmentHeaderLength + frame.length);
  writer.u64(header.firstEntry);
  writer.u32(header.entryCount);
  writer.u32(header.number);
  writer.u32(header.contentLength);
  writer.u32(header.firstBlock);
  writer.raw(frame);
  return format < sectorProofSince ? writer.view() : withParity(writer.view());
}

/** Splits the payload of a segment record; frame and parity are not looked at. Throws ARCHIVE_DAMAGED. */
export function decodeSegment(
  payload: Uint8Array,
  format: number,
): { readonly header: SegmentHeader; readonly frame: Uint8Array } {
  const header = decodeSegmentHeader(payload);
  const frameEnd = payload.length - (format < sectorProofSince ? 0 : parityLength);
  if (frameEnd <= segmentHeaderLength) {
    throw new TsfsaError("ARCHIVE_DAMAGED", `catalog segment ${header.number} has no content`);
  }
  return { header, frame: payload.subarray(segmentHeaderLength, frameEnd) };
}

/** The same of its header only. */
export function decodeSegmentHeader(payload: Uint8Array): SegmentHeader {
  const reader = new ByteReader(payload, "catalog segment");
  const header = {
    firstEntry: reader.u64(),
    entryCount: reader.u32(),
    number: reader.u32(),
    contentLength: reader.u32(),
    firstBlock: reader.u32(),
  };
  if (header.contentLength === 0 || header.contentLength > limits.segmentContentBytes) {
    throw reader.damage(`illegal content length ${header.contentLength}`);
  }
  return header;
}
