// Storing without compression: Zstandard frames of raw blocks, written by hand (RFC 8878, sections 3.1.1 and 3.1.1.2), which every zstd reads.
//
//   magic 28 B5 2F FD · descriptor 84 (checksum, content size of 4 bytes) · window 38 (128 KiB) · u32 content size ·
//   per 128 KiB: u24 size << 3 | raw 0 << 1 | last, bytes · low 32 bits of XXH64, little-endian

import { xxh64 } from "../format/checksum.ts";
import type { FrameEncoder } from "./frame.ts";

const frameHeader = Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0x84, 0x38);
const frameHeaderLength = frameHeader.length + 4;
const blockHeaderLength = 3;
const checksumLength = 4;
/** Block_Maximum_Size: the window, 2^17. */
const blockLengthMax = 128 * 1024;

export class StoreEncoder implements FrameEncoder {
  bound(length: number): number {
    return frameHeaderLength + length + blockHeaderLength * Math.ceil(length / blockLengthMax) + checksumLength;
  }

  compress(target: Uint8Array, targetOffset: number, source: Uint8Array, sourceOffset: number, length: number): number {
    target.set(frameHeader, targetOffset);
    let at = writeLittleEndian(target, targetOffset + frameHeader.length, length, 4);
    for (let done = 0; done < length; ) {
      const blockLength = Math.min(blockLengthMax, length - done);
      const last = done + blockLength === length ? 1 : 0;
      at = writeLittleEndian(target, at, (blockLength << 3) | last, blockHeaderLength);
      target.set(source.subarray(sourceOffset + done, sourceOffset + done + blockLength), at);
      at += blockLength;
      done += blockLength;
    }
    const digest = xxh64(source.subarray(sourceOffset, sourceOffset + length)); // big-endian
    for (let index = 0; index < checksumLength; index++) target[at + index] = digest[7 - index] as number;
    return at + checksumLength - targetOffset;
  }
}

/** Returns the offset after the number. */
function writeLittleEndian(target: Uint8Array, at: number, value: number, length: number): number {
  for (let index = 0; index < length; index++) target[at + index] = value >>> (8 * index);
  return at + length;
}
