// LZ4 frames (LZ4 Frame Format 1.6) with independent blocks and a content checksum. The binding checks the frame's bytes but would
// decompress whatever it says: so we read the block lengths first, and a frame that could grow past its content plus one block is refused.

import { compressFrameSync, decompressFrameSync } from "lz4-napi";
import { viewOf } from "../base/bytes.ts";
import { TsfsaError } from "../base/errors.ts";
import type { FrameDecoder, FrameEncoder } from "./frame.ts";

const magic = 0x184d_2204;
const headerLength = 7;
const endMarkLength = 4;
const checksumLength = 4;
/** FLG: version 01, independent blocks, content checksum; a content size, block checksums and a dictionary are not ours. */
const flags = 0x64;
const smallestBlockMax = 64 * 1024;
const storedBlock = 0x8000_0000;

export class Lz4Encoder implements FrameEncoder {
  bound(length: number): number {
    return headerLength + length + 4 * Math.ceil(length / smallestBlockMax) + endMarkLength + checksumLength;
  }

  compress(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    const content = Buffer.from(source.buffer, source.byteOffset + sourceOffset, length);
    const frame = compressFrameSync(content, { contentChecksum: true, blockChecksums: false });
    target.set(frame, targetOffset);
    return frame.length;
  }
}

export class Lz4Decoder implements FrameDecoder {
  decompress(target: Uint8Array, source: Uint8Array): number {
    const flaw = frameFlaw(source, target.length);
    if (flaw !== undefined) throw damage(flaw);
    let content: Uint8Array;
    try {
      content = decompressFrameSync(Buffer.from(source.buffer, source.byteOffset, source.byteLength));
    } catch (cause) {
      throw damage("cannot be decompressed", cause);
    }
    if (content.length !== target.length) throw damage(`holds ${content.length} bytes, expected ${target.length}`);
    target.set(content);
    return content.length;
  }

  /** Nothing: the binding gives out whole frames only. */
  recover(): number {
    return 0;
  }
}

/** Why the bytes are not one frame of ours that can only hold about that many bytes, by the lengths of its blocks alone. */
function frameFlaw(source: Uint8Array, contentLength: number): string | undefined {
  if (source.length < headerLength + endMarkLength + checksumLength) return "is too short";
  const view = viewOf(source);
  if (view.getUint32(0, true) !== magic) return "is no LZ4 frame";
  if (source[4] !== flags) return "has other flags than independent blocks and a content checksum";
  const sizeCode = ((source[5] as number) >> 4) & 7;
  if (sizeCode < 4 || ((source[5] as number) & 0x8f) !== 0) return "has an illegal block size";
  const blockMax = smallestBlockMax << (2 * (sizeCode - 4));
  let blocks = 0;
  let at = headerLength;
  for (;;) {
    if (at + 4 > source.length) return "is cut off";
    const word = view.getUint32(at, true);
    at += 4;
    if (word === 0) break;
    const length = word & ~storedBlock;
    if (length === 0 || length > blockMax || length > source.length - at) return "has an illegal block length";
    at += length;
    blocks++;
  }
  if (at + checksumLength !== source.length) return "is followed by other bytes";
  return blocks === Math.ceil(contentLength / blockMax) ? undefined : `has ${blocks} blocks for ${contentLength} bytes`;
}

function damage(message: string, cause?: unknown): TsfsaError {
  return new TsfsaError("ARCHIVE_DAMAGED", `an LZ4 frame ${message}`, cause === undefined ? {} : { cause });
}
